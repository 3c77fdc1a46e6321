/* The type `Segment`: the arrays of an index segment. */
#include <stdlib.h>

#include "python.h"

/* Bytes per item of each array, in the order of the constructor. */
static const int item_sizes[SEGMENT_ARRAYS] = {4, 1, 8, 4, 1, 2, 4, 8, 1,
                                                  1, 8, 4, 8, 8, 8, 4, 4, 4};

static void bind_arrays(Segment *s, const Py_buffer *v)
{
    s->df = v[0].buf;
    s->kind = v[1].buf;
    s->place = v[2].buf;
    s->rare_notes = v[3].buf;
    s->rare_tfs = v[4].buf;
    s->entries = v[5].buf;
    s->pointers = v[6].buf;
    s->base = v[7].buf;
    s->dense_tfs = v[8].buf;
    s->dense_rows = v[9].buf;
    s->large_keys = v[10].buf;
    s->large_values = v[11].buf;
    s->norm = v[12].buf;
    s->unit = v[13].buf;
    s->twice = v[14].buf;
    s->norm32 = v[15].buf;
    s->unit32 = v[16].buf;
    s->rank = v[17].buf;
    s->terms = items(v);
    s->larges = items(v + 11);
}

static int arrays_fit(const Segment *s, const Py_buffer *v)
{
    int64_t padded = s->blocks * s->block_docs + MAX_BLOCK;
    int arrays = items(v + 1) == s->terms && items(v + 2) == s->terms &&
                 items(v + 3) == items(v + 4) &&
                 items(v + 6) == s->blocks * (3 * s->rows + 1) && items(v + 7) == s->blocks &&
                 items(v + 8) == s->blocks * s->columns * s->block_docs &&
                 items(v + 9) == s->notes * s->stride && items(v + 10) == s->larges &&
                 items(v + 12) == padded && items(v + 13) == padded && items(v + 14) == padded &&
                 items(v + 15) == padded && items(v + 16) == padded && items(v + 17) == s->notes;
    return arrays && s->block_docs > 0 && s->block_docs <= MAX_BLOCK && s->stride % 16 == 0 &&
           s->stride >= s->columns && s->blocks * s->block_docs >= s->notes;
}

static PyObject *segment_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    Py_ssize_t n[6];
    PyObject *arrays;
    if (!PyArg_ParseTuple(args, "nnnnnnO!", n, n + 1, n + 2, n + 3, n + 4, n + 5, &PyTuple_Type,
                          &arrays) ||
        !require(PyTuple_Size(arrays) == SEGMENT_ARRAYS, "arrays of a segment"))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    SegmentObject *self = (SegmentObject *)allocate(type, 0);
    if (!self)
        return NULL;
    for (; self->held < SEGMENT_ARRAYS; self->held++)
        if (!view_of(PyTuple_GetItem(arrays, self->held), self->views + self->held,
                     item_sizes[self->held], 0)) {
            Py_DECREF(self);
            return NULL;
        }
    Segment *s = &self->segment;
    s->notes = n[0], s->block_docs = n[1], s->blocks = n[2];
    s->rows = n[3], s->columns = n[4], s->stride = n[5];
    bind_arrays(s, self->views);
    if (require(arrays_fit(s, self->views), "arrays of a segment"))
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

void segment_dealloc(PyObject *object)
{
    SegmentObject *self = (SegmentObject *)object;
    for (int i = 0; i < self->held; i++)
        PyBuffer_Release(self->views + i);
    for (int i = 0; i < SPARES; i++)
        free(self->spare[i]);
    free_object(object);
}

/* dense_impacts(first, out f4 (notes, stride)): for the notes from `first` on */
static PyObject *segment_dense_impacts(PyObject *object, PyObject *args)
{
    const Segment *s = &((SegmentObject *)object)->segment;
    Py_ssize_t first;
    PyObject *array;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "nO", &first, &array) || !view_of(array, &out, 4, 1))
        return NULL;
    int64_t size = s->stride ? items(&out) / s->stride : 0;
    int valid = first >= 0 && first + size <= s->notes && size * s->stride == items(&out);
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        dense_impacts(s, first, size, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    if (!require(valid, "notes and impacts"))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef segment_methods[] = {
    {"dense_impacts", segment_dense_impacts, METH_VARARGS, "Impacts of the dense terms."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot segment_slots[] = {{Py_tp_new, (void *)segment_new},
                                      {Py_tp_dealloc, (void *)segment_dealloc},
                                      {Py_tp_methods, segment_methods},
                                      {0, NULL}};
PyType_Spec segment_spec = {"_native.Segment", sizeof(SegmentObject), 0, Py_TPFLAGS_DEFAULT,
                            segment_slots};
