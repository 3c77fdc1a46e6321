/* Shared by the binding files: Python's limited API, and arrays as buffers. */
#ifndef PATIENTDX_PYTHON_H
#define PATIENTDX_PYTHON_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine.h"

/* Raise it when the types or functions of the module change; see `compiled.py`. */
#define API_VERSION 2

/* Gets a view of a contiguous array of items of `size` bytes; 0 with an exception if it is not. */
int view_of(PyObject *array, Py_buffer *view, Py_ssize_t size, int writable);
/* Number of items of a view. */
Py_ssize_t items(const Py_buffer *view);
/* Raises ValueError and returns 0 if a condition on the arguments does not hold. */
int require(int condition, const char *what);

#define SEGMENT_ARRAYS 18

#define SPARES 4

typedef struct {
    PyObject_HEAD
    Segment segment;
    Py_buffer views[SEGMENT_ARRAYS];
    int held;
    /* Accumulators, all zero, returned by finished scans. */
    double *spare[SPARES];
} SegmentObject;

void segment_dealloc(PyObject *object);
/* Frees an object of a heap type and its reference to the type. */
void free_object(PyObject *object);

extern PyType_Spec segment_spec, scan_spec, word_table_spec;
PyObject *encode_blocked_py(PyObject *module, PyObject *args);
PyObject *sort_by_term_py(PyObject *module, PyObject *args);
#endif
