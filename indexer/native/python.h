/* What the binding files share: Python by its limited API, and arrays as buffers. */
#ifndef PATIENTDX_PYTHON_H
#define PATIENTDX_PYTHON_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine.h"

/* A contiguous array of items of `size` bytes, or an exception; 0 for the latter. */
int view_of(PyObject *array, Py_buffer *view, Py_ssize_t size, int writable);
/* Items of a view. */
Py_ssize_t items(const Py_buffer *view);
/* Raises ValueError and returns 0 where a condition on the arguments does not hold. */
int demand(int condition, const char *what);

#define SEGMENT_ARRAYS 18

#define SPARES 4

typedef struct {
    PyObject_HEAD
    Segment segment;
    Py_buffer views[SEGMENT_ARRAYS];
    int held;
    /* Accumulators, all zero, that scans have given back. */
    double *spare[SPARES];
} SegmentObject;

void segment_dealloc(PyObject *object);
/* Frees an object of a heap type and its hold on the type. */
void free_object(PyObject *object);

extern PyType_Spec segment_spec, scan_spec, words_spec;
PyObject *place_blocked_py(PyObject *module, PyObject *args);
PyObject *sort_by_term_py(PyObject *module, PyObject *args);
#endif
