/* The extension module `_native`, by Python's limited API; tensors are bytes. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "merge.h"

/* Raised when functions of this module change; merger/kernels/compiled.py holds the same number. */
#define API_VERSION 2

#define MAX_VIEWS (2 * MAX_INPUTS)

#if HAVE_AVX
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

/* Every processor with AVX2 has F16C; one of VIA's has no FMA. */
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

/* Lists the variants that run on this machine, the fastest first; returns their number. */
static int available(const Variant **variants)
{
    int count = 0;
#if HAVE_AVX
    __builtin_cpu_init();
    if (has_avx512())
        variants[count++] = &avx512_variant;
    if (has_avx2())
        variants[count++] = &avx2_variant;
#endif
    variants[count++] = &plain_variant;
    return count;
}

static const Variant *variant_named(const char *name)
{
    const Variant *all[3];
    int count = available(all);
    for (int i = 0; i < count; i++)
        if (!strcmp(all[i]->name, name))
            return all[i];
    PyErr_Format(PyExc_ValueError, "no variant `%s` on this machine", name);
    return NULL;
}

/* variants() -> names of the variants that run here, the fastest first */
static PyObject *variants_py(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    const Variant *all[3];
    int count = available(all);
    PyObject *names = PyTuple_New(count);
    for (int i = 0; names && i < count; i++) {
        PyObject *name = PyUnicode_FromString(all[i]->name);
        if (!name || PyTuple_SetItem(names, i, name) < 0) {
            Py_DECREF(names);
            return NULL;
        }
    }
    return names;
}

static void release(Py_buffer *views, int count)
{
    for (int i = 0; i < count; i++)
        PyBuffer_Release(views + i);
}

static int view_of(PyObject *array, Py_buffer *view, int writable)
{
    return PyObject_GetBuffer(array, view,
                              PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)) == 0;
}

/* How many numbers of a kind there are; -1 where the bytes are no whole number of them. */
static int64_t numbers_of(const Py_buffer *view, int kind)
{
    if (kind < 0 || kind >= KINDS || view->len % sizes[kind])
        return -1;
    return view->len / sizes[kind];
}

static int demand(int condition)
{
    if (!condition)
        PyErr_SetString(PyExc_ValueError, "tensors, weights and outputs do not fit together");
    return condition;
}

/* moments(variant, a, kind, b, kind, sums f8 (chunks, 3)) */
static PyObject *moments_py(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    PyObject *arrays[3];
    Py_buffer v[3];
    int kind_a, kind_b, held = 0;
    if (!PyArg_ParseTuple(args, "sOiOiO", &name, arrays, &kind_a, arrays + 1, &kind_b, arrays + 2))
        return NULL;
    const Variant *variant = variant_named(name);
    while (variant && held < 3 && view_of(arrays[held], v + held, held == 2))
        held++;
    if (held < 3) {
        release(v, held);
        return NULL;
    }
    int64_t count = numbers_of(v, kind_a), chunk = (int64_t)CHUNK * BLOCK;
    int sound = count >= 0 && numbers_of(v + 1, kind_b) == count &&
                v[2].len == (count + chunk - 1) / chunk * 3 * (int64_t)sizeof(double);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        moments(variant, (Numbers){v[0].buf, kind_a}, (Numbers){v[1].buf, kind_b}, count,
                v[2].buf);
        Py_END_ALLOW_THREADS
    }
    release(v, 3);
    if (!demand(sound))
        return NULL;
    Py_RETURN_NONE;
}

typedef struct {
    Py_buffer views[MAX_VIEWS], kinds, weights;
    Numbers in[MAX_INPUTS];
    uint8_t *outs[MAX_INPUTS];
    int inputs, outputs, held, kind;
    int64_t count;
} Combination;

/* Takes the views of a tuple of arrays. Returns 0 with an exception set if that fails. */
static int take(Combination *work, PyObject *arrays, int writable, int *count)
{
    Py_ssize_t size = PyTuple_Size(arrays);
    if (size < 0 || !demand(size > 0 && size <= MAX_INPUTS))
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!view_of(PyTuple_GetItem(arrays, i), work->views + work->held, writable))
            return 0;
        work->held++;
    }
    *count = (int)size;
    return 1;
}

/* Sets inputs and outputs from the views. Returns 0 if they do not fit together. */
static int prepare(Combination *work)
{
    const uint8_t *kinds = work->kinds.buf;
    if (work->kinds.len != work->inputs ||
        work->weights.len != (int64_t)sizeof(double) * (work->inputs + 1) * work->outputs)
        return 0;
    work->count = numbers_of(work->views, kinds[0]);
    int sound = work->count >= 0;
    for (int i = 0; i < work->inputs; i++) {
        sound = sound && numbers_of(work->views + i, kinds[i]) == work->count;
        work->in[i] = (Numbers){work->views[i].buf, kinds[i]};
    }
    for (int o = 0; o < work->outputs; o++) {
        const Py_buffer *view = work->views + work->inputs + o;
        sound = sound && numbers_of(view, work->kind) == work->count;
        work->outs[o] = view->buf;
    }
    return sound;
}

typedef int (*Driver)(const Variant *v, const Numbers *in, int inputs, const double *sums,
                      int outputs, uint8_t *const *outs, int kind, int64_t count, int past_caches);

/* The arguments are those of `combine` and `deltas` below. */
static PyObject *drive(Driver driver, PyObject *args)
{
    const char *name;
    PyObject *inputs, *kinds, *weights, *outputs;
    Combination work = {.held = 0};
    int bad = 0, sound = 0, past_caches;
    if (!PyArg_ParseTuple(args, "sOOOOii", &name, &inputs, &kinds, &weights, &outputs, &work.kind,
                          &past_caches))
        return NULL;
    const Variant *variant = variant_named(name);
    if (!variant || !view_of(kinds, &work.kinds, 0))
        return NULL;
    if (!view_of(weights, &work.weights, 0)) {
        PyBuffer_Release(&work.kinds);
        return NULL;
    }
    int taken = take(&work, inputs, 0, &work.inputs) && take(&work, outputs, 1, &work.outputs);
    if (taken && (sound = prepare(&work))) {
        Py_BEGIN_ALLOW_THREADS
        bad = driver(variant, work.in, work.inputs, work.weights.buf, work.outputs, work.outs,
                     work.kind, work.count, past_caches);
        Py_END_ALLOW_THREADS
    }
    release(work.views, work.held);
    PyBuffer_Release(&work.kinds);
    PyBuffer_Release(&work.weights);
    if (!taken || !demand(sound))
        return NULL;
    return PyBool_FromLong(!bad);
}

/* combine(variant, inputs, kinds bytes, sums f8 (outputs, inputs + 1), outputs, kind, past_caches): a row
 * has the weights of the inputs and a divisor, see merge.h
 * -> True if everything that was written is finite */
static PyObject *combine_py(PyObject *module, PyObject *args)
{
    (void)module;
    return drive(combine, args);
}

/* deltas(...): the same, but the first input is the base, and a row has the weights of the others, a
 * divisor and a scale */
static PyObject *deltas_py(PyObject *module, PyObject *args)
{
    (void)module;
    return drive(deltas, args);
}

static PyMethodDef functions[] = {
    {"variants", variants_py, METH_NOARGS, "Names of the variants that run here, fastest first."},
    {"moments", moments_py, METH_VARARGS, "Sums of a*a, b*b and a*b of each chunk."},
    {"combine", combine_py, METH_VARARGS, "Weighted sums of tensors, rounded once."},
    {"deltas", deltas_py, METH_VARARGS, "A base with sums of weighted differences from it."},
    {NULL, NULL, 0, NULL}};

static int add_constants(PyObject *module)
{
    return PyModule_AddIntMacro(module, API_VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)add_constants}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The merge kernels; see native/merge.h.", 0, functions,
    slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
