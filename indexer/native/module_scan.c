/* The type `Scan`: a batch of queries over one segment. */
#include <stdlib.h>
#include <string.h>

#include "python.h"

/* Queries with less than 1/8 of the dense terms read single columns. */
#define FEW_DENSE 8

typedef struct {
    PyObject_HEAD
    SegmentObject *owner;
    Batch batch;
    Py_buffer views[5]; /* starts, numbers, weights, floors, allowed */
    int held[5];
    double *acc;
    float *share, *row;
} ScanObject;

/* Accumulators, all zero: from a finished scan, or new. The caller holds the interpreter lock. */
static double *take_accumulators(SegmentObject *owner)
{
    for (int i = 0; i < SPARES; i++)
        if (owner->spare[i]) {
            double *acc = owner->spare[i];
            owner->spare[i] = NULL;
            return acc;
        }
    return calloc(ACCUMULATORS, sizeof(double));
}

static void return_accumulators(SegmentObject *owner, double *acc)
{
    for (int i = 0; i < SPARES; i++)
        if (!owner->spare[i]) {
            owner->spare[i] = acc;
            return;
        }
    free(acc);
}

static int allocate_scan(ScanObject *self, const Segment *s, int64_t terms)
{
    Batch *b = &self->batch;
    size_t queries = (size_t)b->queries, capacity = (size_t)b->capacity, n = (size_t)terms + 1;
    b->order = malloc(n * sizeof *b->order);
    b->weight = malloc(n * sizeof *b->weight);
    b->slot = malloc(n * sizeof *b->slot);
    b->kind_ends = malloc((3 * queries + 1) * sizeof *b->kind_ends);
    b->rare_pointers = malloc((queries * (size_t)(s->blocks + 1) + 1) * sizeof *b->rare_pointers);
    b->candidates = calloc(queries + 1, sizeof *b->candidates);
    self->acc = take_accumulators(self->owner);
    self->share = malloc(MAX_BLOCK * sizeof *self->share);
    self->row = calloc((size_t)s->stride + 1, sizeof *self->row);
    if (!b->order || !b->weight || !b->slot || !b->kind_ends || !b->rare_pointers ||
        !b->candidates || !self->acc || !self->share || !self->row)
        return 0;
    for (size_t q = 0; q < queries; q++) {
        Candidates *candidates = b->candidates + q;
        candidates->notes = malloc(capacity * sizeof *candidates->notes);
        candidates->sparse = malloc(2 * capacity * sizeof *candidates->sparse);
        if (!candidates->notes || !candidates->sparse)
            return 0;
        candidates->approximate = candidates->sparse + capacity;
    }
    return 1;
}

/* Sets the error bound and the threshold of each query. */
static void set_thresholds(ScanObject *self, double relative)
{
    Batch *b = &self->batch;
    const double *floors = self->held[3] ? self->views[3].buf : NULL;
    for (int64_t q = 0; q < b->queries; q++) {
        Candidates *candidates = b->candidates + q;
        double dense = 0;
        for (int64_t i = b->kind_ends[3 * q]; i < b->kind_ends[3 * q + 1]; i++)
            dense += b->weight[i];
        candidates->error = relative * dense;
        /* The smallest positive number: a note with a score of zero is not a hit. */
        candidates->threshold = 0x1p-1074;
        if (floors && floors[q] * (1 - 0x1p-22) - 2 * candidates->error > candidates->threshold)
            candidates->threshold = floors[q] * (1 - 0x1p-22) - 2 * candidates->error;
    }
}

static int queries_are_valid(const ScanObject *self, const Segment *s)
{
    const Py_buffer *v = self->views;
    const int64_t *starts = v[0].buf, *numbers = v[1].buf;
    int64_t queries = items(v) - 1, terms = items(v + 1);
    if (queries < 1 || starts[0] != 0 || starts[queries] != terms || items(v + 2) != terms)
        return 0;
    for (int64_t q = 0; q < queries; q++)
        if (starts[q] > starts[q + 1])
            return 0;
    for (int64_t t = 0; t < terms; t++)
        if (numbers[t] < 0 || numbers[t] >= s->terms)
            return 0;
    return (!self->held[3] || items(v + 3) == queries) &&
           (!self->held[4] || items(v + 4) == s->notes);
}

static int prepare_batch(ScanObject *self, double relative)
{
    const Segment *s = &self->owner->segment;
    Batch *b = &self->batch;
    if (!require(queries_are_valid(self, s), "queries and the segment"))
        return 0;
    b->queries = items(self->views) - 1;
    b->starts = self->views[0].buf;
    b->numbers = self->views[1].buf;
    b->weights = self->views[2].buf;
    b->allowed = self->held[4] ? self->views[4].buf : NULL;
    if (!allocate_scan(self, s, items(self->views + 1))) {
        PyErr_NoMemory();
        return 0;
    }
    order_terms(s, b);
    size_t rare = (size_t)rare_total(s, b) + 1;
    b->rare_at = malloc(rare * sizeof *b->rare_at);
    b->rare_values = malloc(rare * sizeof *b->rare_values);
    if (!b->rare_at || !b->rare_values) {
        PyErr_NoMemory();
        return 0;
    }
    set_thresholds(self, relative);
    Py_BEGIN_ALLOW_THREADS
    rare_postings(s, b);
    Py_END_ALLOW_THREADS
    return 1;
}

/* Scan(segment, starts i8, numbers i8, weights f8, k, capacity, relative error, floors, allowed) */
static PyObject *scan_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    static const int sizes[5] = {8, 8, 8, 8, 1};
    PyObject *owner, *arrays[5];
    Py_ssize_t k, capacity;
    double relative;
    if (!PyArg_ParseTuple(args, "OOOOnndOO", &owner, arrays, arrays + 1, arrays + 2, &k, &capacity,
                          &relative, arrays + 3, arrays + 4))
        return NULL;
    int owned = PyType_GetSlot(Py_TYPE(owner), Py_tp_dealloc) == (void *)segment_dealloc;
    if (!require(owned && k > 0 && capacity > 0, "segment and sizes"))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ScanObject *self = (ScanObject *)allocate(type, 0);
    if (!self)
        return NULL;
    Py_INCREF(owner);
    self->owner = (SegmentObject *)owner;
    self->batch.k = k;
    self->batch.capacity = capacity;
    int valid = 1;
    for (int i = 0; valid && i < 5; i++)
        if (arrays[i] != Py_None)
            valid = self->held[i] = view_of(arrays[i], self->views + i, sizes[i], 0);
    if (valid && prepare_batch(self, relative))
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void scan_dealloc(PyObject *object)
{
    ScanObject *self = (ScanObject *)object;
    Batch *b = &self->batch;
    for (int64_t q = 0; b->candidates && q < b->queries; q++) {
        free(b->candidates[q].notes);
        free(b->candidates[q].sparse);
    }
    void *blocks[] = {b->order, b->weight, b->slot, b->kind_ends, b->rare_pointers, b->candidates,
                      b->rare_at, b->rare_values, self->share, self->row};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    for (int i = 0; i < 5; i++)
        if (self->held[i])
            PyBuffer_Release(self->views + i);
    if (self->owner)
        return_accumulators(self->owner, self->acc);
    Py_XDECREF((PyObject *)self->owner);
    free_object(object);
}

/* The dense share of query q in a block, or NULL if it has no dense term. */
static const float *query_share(ScanObject *self, int64_t q, int64_t block)
{
    const Segment *s = &self->owner->segment;
    const Batch *b = &self->batch;
    int64_t from = b->kind_ends[3 * q], to = b->kind_ends[3 * q + 1];
    if (from == to)
        return NULL;
    if ((to - from) * FEW_DENSE < s->columns) {
        share_by_column(s, b->slot + from, b->weight + from, to - from, block, self->share);
        return self->share;
    }
    memset(self->row, 0, (size_t)s->stride * sizeof *self->row);
    for (int64_t i = from; i < to; i++)
        self->row[b->slot[i]] = (float)b->weight[i];
    int64_t first = block * s->block_docs, rest = s->notes - first;
    share_by_row(s, self->row, first, rest < s->block_docs ? rest : s->block_docs, self->share);
    return self->share;
}

/* run(): scans all blocks and computes the dense shares */
static PyObject *scan_run(PyObject *object, PyObject *nothing)
{
    (void)nothing;
    ScanObject *self = (ScanObject *)object;
    const Segment *s = &self->owner->segment;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t block = 0; block < s->blocks; block++)
        for (int64_t q = 0; q < self->batch.queries; q++)
            scan_block(s, &self->batch, q, block, query_share(self, q, block), self->acc);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* run_blocks(first, last, shares f4 (queries, notes of these blocks)) */
static PyObject *scan_run_blocks(PyObject *object, PyObject *args)
{
    ScanObject *self = (ScanObject *)object;
    const Segment *s = &self->owner->segment;
    Py_ssize_t first, last;
    PyObject *array;
    Py_buffer shares;
    if (!PyArg_ParseTuple(args, "nnO", &first, &last, &array) || !view_of(array, &shares, 4, 0))
        return NULL;
    int64_t end = last * s->block_docs < s->notes ? last * s->block_docs : s->notes;
    int64_t width = end - first * s->block_docs;
    int valid = first >= 0 && first < last && last <= s->blocks &&
                items(&shares) == width * self->batch.queries;
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t block = first; block < last; block++)
            for (int64_t q = 0; q < self->batch.queries; q++) {
                const float *own = (const float *)shares.buf + q * width;
                scan_block(s, &self->batch, q, block, own + (block - first) * s->block_docs,
                           self->acc);
            }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&shares);
    if (!require(valid, "blocks and shares"))
        return NULL;
    Py_RETURN_NONE;
}

/* top_notes(q, notes u4 (k), scores f4 (k)): their number; -1: too many ties for the table */
static PyObject *scan_top_notes(PyObject *object, PyObject *args)
{
    ScanObject *self = (ScanObject *)object;
    Py_ssize_t q;
    PyObject *arrays[2];
    Py_buffer notes, scores;
    if (!PyArg_ParseTuple(args, "nOO", &q, arrays, arrays + 1) ||
        !require(q >= 0 && q < self->batch.queries, "queries") || !view_of(arrays[0], &notes, 4, 1))
        return NULL;
    if (!view_of(arrays[1], &scores, 4, 1)) {
        PyBuffer_Release(&notes);
        return NULL;
    }
    int64_t count = -1;
    int valid = items(&notes) >= self->batch.k && items(&scores) >= self->batch.k;
    if (valid && !self->batch.candidates[q].overflow) {
        Py_BEGIN_ALLOW_THREADS
        count = rank_candidates(&self->owner->segment, &self->batch, q, notes.buf, scores.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&notes);
    PyBuffer_Release(&scores);
    return require(valid, "k and the arrays") ? PyLong_FromLongLong(count) : NULL;
}

static PyMethodDef scan_methods[] = {
    {"run", scan_run, METH_NOARGS, "Scans all blocks."},
    {"run_blocks", scan_run_blocks, METH_VARARGS, "Scans some blocks with these dense shares."},
    {"top_notes", scan_top_notes, METH_VARARGS, "The top k of a query, best first."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot scan_slots[] = {{Py_tp_new, (void *)scan_new},
                                   {Py_tp_dealloc, (void *)scan_dealloc},
                                   {Py_tp_methods, scan_methods},
                                   {0, NULL}};
PyType_Spec scan_spec = {"_native.Scan", sizeof(ScanObject), 0, Py_TPFLAGS_DEFAULT, scan_slots};
