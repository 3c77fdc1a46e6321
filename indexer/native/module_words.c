/* The type `WordTable`: all distinct words so far, numbered in order of first appearance. */
#include <stdlib.h>
#include <string.h>

#include "python.h"

typedef struct {
    PyObject_HEAD
    WordTable table;
    Py_buffer fold;
    int held;
    int32_t *tokens;
    int64_t *starts, room, notes;
} WordTableObject;

static PyObject *words_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    PyObject *fold;
    if (!PyArg_ParseTuple(args, "O", &fold))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    WordTableObject *self = (WordTableObject *)allocate(type, 0);
    if (!self)
        return NULL;
    self->held = view_of(fold, &self->fold, 2, 0);
    if (self->held && require(items(&self->fold) == 65536, "characters")) {
        self->table.fold = self->fold.buf;
        return (PyObject *)self;
    }
    Py_DECREF(self);
    return NULL;
}

static void words_dealloc(PyObject *object)
{
    WordTableObject *self = (WordTableObject *)object;
    if (self->held)
        PyBuffer_Release(&self->fold);
    free(self->table.table);
    free(self->table.offsets);
    free(self->table.hashes);
    free(self->table.arena);
    free(self->tokens);
    free(self->starts);
    free_object(object);
}

typedef struct {
    const uint8_t *data;
    Py_ssize_t size;
} Text;

/* The UTF-8 text of each note, from a str or bytes; NULL with an exception if it has none. */
static Text *texts_of(PyObject *notes, Py_ssize_t *count)
{
    if (!require(PyList_Check(notes), "notes"))
        return NULL;
    *count = PyList_Size(notes);
    Text *texts = malloc(((size_t)*count + 1) * sizeof *texts);
    if (!texts)
        return (Text *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < *count; i++) {
        PyObject *note = PyList_GetItem(notes, i);
        char *raw = NULL;
        if (PyBytes_Check(note))
            PyBytes_AsStringAndSize(note, &raw, &texts[i].size);
        else
            raw = (char *)PyUnicode_AsUTF8AndSize(note, &texts[i].size);
        if (!raw) {
            free(texts);
            return NULL;
        }
        texts[i].data = (const uint8_t *)raw;
    }
    return texts;
}

/* needing_python(notes): positions of the notes that Python must lower-case and split */
static PyObject *words_needing_python(PyObject *object, PyObject *notes)
{
    const WordTable *table = &((WordTableObject *)object)->table;
    Py_ssize_t count;
    Text *texts = texts_of(notes, &count);
    PyObject *positions = texts ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; positions && i < count; i++) {
        if (!needs_python(table, texts[i].data, texts[i].size))
            continue;
        PyObject *position = PyLong_FromSsize_t(i);
        if (!position || PyList_Append(positions, position) < 0)
            Py_CLEAR(positions);
        Py_XDECREF(position);
    }
    free(texts);
    return positions;
}

static int make_room(WordTableObject *self, const Text *texts, Py_ssize_t count)
{
    int64_t tokens = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        tokens += texts[i].size / 2 + 1;
    int32_t *more = tokens > self->room
                        ? realloc(self->tokens, (size_t)tokens * sizeof *more) : self->tokens;
    int64_t *starts = realloc(self->starts, ((size_t)count + 1) * sizeof *starts);
    if (starts)
        self->starts = starts;
    if (!more || !starts)
        return count == 0 && starts != NULL;
    self->tokens = more;
    self->room = tokens > self->room ? tokens : self->room;
    return 1;
}

/* tokenize(notes): finds the word ids of all notes, for `count_terms`; returns their number */
static PyObject *words_tokenize(PyObject *object, PyObject *notes)
{
    WordTableObject *self = (WordTableObject *)object;
    Py_ssize_t count;
    Text *texts = texts_of(notes, &count);
    if (!texts)
        return NULL;
    int enough = make_room(self, texts, count);
    int64_t total = 0;
    if (enough) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; enough && i < count; i++) {
            self->starts[i] = total;
            enough = words_reserve(&self->table, texts[i].size);
            if (enough)
                total += split_note(&self->table, texts[i].data, texts[i].size,
                                    self->tokens + total);
        }
        self->starts[count] = total;
        Py_END_ALLOW_THREADS
    }
    free(texts);
    self->notes = enough ? count : 0;
    return enough ? PyLong_FromLongLong(total) : PyErr_NoMemory();
}

/* words(first): the words with numbers from `first` on */
static PyObject *words_words(PyObject *object, PyObject *argument)
{
    const WordTable *t = &((WordTableObject *)object)->table;
    Py_ssize_t first = PyLong_AsSsize_t(argument);
    if (PyErr_Occurred() || !require(first >= 0 && first <= t->words, "words"))
        return NULL;
    PyObject *words = PyList_New(t->words - first);
    for (int64_t word = first; words && word < t->words; word++) {
        const char *raw = (const char *)t->arena + t->offsets[word];
        Py_ssize_t size = t->offsets[word + 1] - t->offsets[word];
        PyObject *text = PyUnicode_DecodeUTF8(raw, size, "surrogatepass");
        if (!text || PyList_SetItem(words, word - first, text) < 0)
            Py_CLEAR(words);
    }
    return words;
}

static int terms_are_valid(const WordTableObject *self, const int32_t *term_of_word, int64_t terms)
{
    for (int64_t word = 0; word < self->table.words; word++)
        if (term_of_word[word] >= terms)
            return 0;
    return 1;
}

/* count_terms(term_of_word i4, place i8, terms u4, tfs u4, bounds i8, lengths u4): number of
 * postings */
static PyObject *words_count(PyObject *object, PyObject *args)
{
    static const int sizes[6] = {4, 8, 4, 4, 8, 4};
    WordTableObject *self = (WordTableObject *)object;
    PyObject *a[6];
    Py_buffer v[6];
    int held = 0;
    if (!PyArg_ParseTuple(args, "OOOOOO", a, a + 1, a + 2, a + 3, a + 4, a + 5))
        return NULL;
    while (held < 6 && view_of(a[held], v + held, sizes[held], held > 0))
        held++;
    int64_t tokens = self->notes ? self->starts[self->notes] : 0, size = 0;
    int valid = held == 6 &&
                require(items(v) == self->table.words &&
                            terms_are_valid(self, v[0].buf, items(v + 1)) &&
                            items(v + 2) >= tokens && items(v + 3) >= tokens &&
                            items(v + 4) == self->notes + 1 && items(v + 5) == self->notes,
                        "words and terms");
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        size = count_terms(self->tokens, self->starts, self->notes, v[0].buf, v[1].buf, v[2].buf,
                           v[3].buf, v[4].buf, v[5].buf);
        Py_END_ALLOW_THREADS
    }
    while (held > 0)
        PyBuffer_Release(v + --held);
    return valid ? PyLong_FromLongLong(size) : NULL;
}

static PyMethodDef methods[] = {
    {"needing_python", words_needing_python, METH_O, "Positions of notes that Python must split."},
    {"tokenize", words_tokenize, METH_O, "Splits notes into words."},
    {"words", words_words, METH_O, "The words with numbers from `first` on."},
    {"count_terms", words_count, METH_VARARGS, "Distinct terms of each note, with frequencies."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {{Py_tp_new, (void *)words_new},
                              {Py_tp_dealloc, (void *)words_dealloc},
                              {Py_tp_methods, methods},
                              {0, NULL}};
PyType_Spec word_table_spec = {"_native.WordTable", sizeof(WordTableObject), 0, Py_TPFLAGS_DEFAULT,
                               slots};
