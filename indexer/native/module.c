/* The module `_native`: its types, and its functions for building an index. */
#include "python.h"

int view_of(PyObject *array, Py_buffer *view, Py_ssize_t size, int writable)
{
    int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, view, flags) < 0)
        return 0;
    if (view->itemsize == size)
        return 1;
    PyBuffer_Release(view);
    PyErr_Format(PyExc_TypeError, "expected items of %zd bytes", size);
    return 0;
}

Py_ssize_t items(const Py_buffer *view) { return view->len / view->itemsize; }

int require(int condition, const char *what)
{
    if (!condition)
        PyErr_Format(PyExc_ValueError, "%s do not fit together", what);
    return condition;
}

static void release(Py_buffer *views, int count)
{
    for (int i = 0; i < count; i++)
        PyBuffer_Release(views + i);
}

/* Gets `count` views; `sizes` are the bytes of an item, negative for writable arrays. */
static int take_views(PyObject *const *arrays, Py_buffer *views, const int *sizes, int count)
{
    for (int i = 0; i < count; i++)
        if (!view_of(arrays[i], views + i, sizes[i] < 0 ? -sizes[i] : sizes[i], sizes[i] < 0)) {
            release(views, i);
            return 0;
        }
    return 1;
}

/* sort_by_term(terms u4, tfs u4, bounds i8, starts i8, notes u2, out_tfs u4) */
PyObject *sort_by_term_py(PyObject *module, PyObject *args)
{
    (void)module;
    static const int sizes[6] = {4, 4, 8, -8, -2, -4};
    PyObject *arrays[6];
    Py_buffer v[6];
    if (!PyArg_ParseTuple(args, "OOOOOO", arrays, arrays + 1, arrays + 2, arrays + 3, arrays + 4,
                          arrays + 5) ||
        !take_views(arrays, v, sizes, 6))
        return NULL;
    const uint32_t *terms = v[0].buf;
    const int64_t *bounds = v[2].buf;
    int64_t notes = items(v + 2) - 1, distinct = items(v + 3) - 1, postings = items(v);
    int valid = notes >= 0 && notes <= 65536 && bounds[notes] == postings &&
                items(v + 1) == postings && items(v + 4) == postings && items(v + 5) == postings;
    for (int64_t p = 0; valid && p < postings; p++)
        valid = terms[p] < distinct;
    for (int64_t note = 0; valid && note < notes; note++)
        valid = bounds[note] >= 0 && bounds[note] <= bounds[note + 1];
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        sort_by_term(terms, v[1].buf, bounds, notes, v[3].buf, distinct, v[4].buf, v[5].buf);
        Py_END_ALLOW_THREADS
    }
    release(v, 6);
    if (!require(valid, "postings and their bounds"))
        return NULL;
    Py_RETURN_NONE;
}

/* True if every posting of a run lies within `blocks` blocks of `count` rows. */
static int postings_are_valid(const Py_buffer *v, int64_t block_docs, int64_t blocks, int64_t count)
{
    const int32_t *rows = v[0].buf;
    const int64_t *starts = v[1].buf;
    const uint16_t *notes = v[2].buf;
    const uint32_t *tfs = v[3].buf;
    int64_t terms = items(v), placed = 0;
    int valid = starts[0] == 0 && starts[terms] == items(v + 2);
    for (int64_t t = 0; valid && t < terms; t++) {
        valid = starts[t] <= starts[t + 1] && rows[t] < count;
        placed += rows[t] >= 0 ? starts[t + 1] - starts[t] : 0;
    }
    for (int64_t p = 0; valid && p < items(v + 2); p++)
        valid = notes[p] < blocks * block_docs && tfs[p] > 0;
    return valid && placed == items(v + 6);
}

/* encode_blocked(rows i4, starts i8, notes u2, tfs u4, block_docs, counts i8, pointers u4,
 *               entries u2) */
PyObject *encode_blocked_py(PyObject *module, PyObject *args)
{
    (void)module;
    static const int sizes[7] = {4, 8, 2, 4, -8, -4, -2};
    PyObject *arrays[7];
    Py_buffer v[7];
    Py_ssize_t block_docs;
    if (!PyArg_ParseTuple(args, "OOOOnOOO", arrays, arrays + 1, arrays + 2, arrays + 3, &block_docs,
                          arrays + 4, arrays + 5, arrays + 6) ||
        !take_views(arrays, v, sizes, 7))
        return NULL;
    int64_t groups = items(v + 4) - 1, blocks = items(v + 5) - groups;
    int64_t count = blocks > 0 ? groups / blocks / 3 : 0;
    int valid = block_docs > 0 && block_docs <= MAX_BLOCK && blocks > 0 && count >= 0 &&
                groups == 3 * blocks * count && items(v + 1) == items(v) + 1 &&
                items(v + 3) == items(v + 2) && postings_are_valid(v, block_docs, blocks, count);
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        encode_blocked(v[0].buf, v[1].buf, items(v), v[2].buf, v[3].buf, block_docs, blocks, count,
                      v[4].buf, v[5].buf, v[6].buf);
        Py_END_ALLOW_THREADS
    }
    release(v, 7);
    if (!require(valid, "postings and their places"))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"sort_by_term", sort_by_term_py, METH_VARARGS, "Sorts postings by term."},
    {"encode_blocked", encode_blocked_py, METH_VARARGS, "Encodes postings as 16-bit entries."},
    {NULL, NULL, 0, NULL}};

static int add_types(PyObject *module)
{
    PyType_Spec *specs[3] = {&segment_spec, &scan_spec, &word_table_spec};
    const char *names[3] = {"Segment", "Scan", "WordTable"};
    for (int i = 0; i < 3; i++) {
        PyObject *type = PyType_FromSpec(specs[i]);
        if (!type || PyModule_AddObjectRef(module, names[i], type) < 0)
            return -1;
        Py_DECREF(type);
    }
    return PyModule_AddIntMacro(module, API_VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)add_types}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The compiled engine; see native/engine.h.", 0, functions,
    slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
