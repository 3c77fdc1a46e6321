/* The type `Words`: the distinct words met so far, numbered in order of first appearance. */
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
} WordsObject;

static PyObject *words_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    PyObject *fold;
    if (!PyArg_ParseTuple(args, "O", &fold))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    WordsObject *self = (WordsObject *)allocate(type, 0);
    if (!self)
        return NULL;
    self->held = view_of(fold, &self->fold, 2, 0);
    if (self->held && demand(items(&self->fold) == 65536, "characters")) {
        self->table.fold = self->fold.buf;
        return (PyObject *)self;
    }
    Py_DECREF(self);
    return NULL;
}

static void words_dealloc(PyObject *object)
{
    WordsObject *self = (WordsObject *)object;
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

/* The UTF-8 of each note: a str's own, or bytes as they are. NULL with an exception if not. */
static Text *texts_of(PyObject *notes, Py_ssize_t *count)
{
    if (!demand(PyList_Check(notes), "notes"))
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

/* hard(notes): positions of notes that Python must put in lower case and split */
static PyObject *words_hard(PyObject *object, PyObject *notes)
{
    const WordTable *table = &((WordsObject *)object)->table;
    Py_ssize_t count;
    Text *texts = texts_of(notes, &count);
    PyObject *found = texts ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; found && i < count; i++) {
        if (!needs_python(table, texts[i].data, texts[i].size))
            continue;
        PyObject *position = PyLong_FromSsize_t(i);
        if (!position || PyList_Append(found, position) < 0)
            Py_CLEAR(found);
        Py_XDECREF(position);
    }
    free(texts);
    return found;
}

static int make_room(WordsObject *self, const Text *texts, Py_ssize_t count)
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

/* split(notes): word ids of all notes, kept for `count`; returns how many there are */
static PyObject *words_split(PyObject *object, PyObject *notes)
{
    WordsObject *self = (WordsObject *)object;
    Py_ssize_t count;
    Text *texts = texts_of(notes, &count);
    if (!texts)
        return NULL;
    int enough = make_room(self, texts, count);
    int64_t found = 0;
    if (enough) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; enough && i < count; i++) {
            self->starts[i] = found;
            enough = words_reserve(&self->table, texts[i].size);
            if (enough)
                found += split_note(&self->table, texts[i].data, texts[i].size,
                                    self->tokens + found);
        }
        self->starts[count] = found;
        Py_END_ALLOW_THREADS
    }
    free(texts);
    self->notes = enough ? count : 0;
    return enough ? PyLong_FromLongLong(found) : PyErr_NoMemory();
}

/* words(first): the words numbered from `first` on */
static PyObject *words_words(PyObject *object, PyObject *argument)
{
    const WordTable *t = &((WordsObject *)object)->table;
    Py_ssize_t first = PyLong_AsSsize_t(argument);
    if (PyErr_Occurred() || !demand(first >= 0 && first <= t->words, "words"))
        return NULL;
    PyObject *found = PyList_New(t->words - first);
    for (int64_t word = first; found && word < t->words; word++) {
        const char *raw = (const char *)t->arena + t->offsets[word];
        Py_ssize_t size = t->offsets[word + 1] - t->offsets[word];
        PyObject *text = PyUnicode_DecodeUTF8(raw, size, "surrogatepass");
        if (!text || PyList_SetItem(found, word - first, text) < 0)
            Py_CLEAR(found);
    }
    return found;
}

static int known(const WordsObject *self, const int32_t *term_of_word, int64_t terms)
{
    for (int64_t word = 0; word < self->table.words; word++)
        if (term_of_word[word] >= terms)
            return 0;
    return 1;
}

/* count(term_of_word i4, place i8, terms u4, tfs u4, bounds i8, lengths u4): postings found */
static PyObject *words_count(PyObject *object, PyObject *args)
{
    static const int sizes[6] = {4, 8, 4, 4, 8, 4};
    WordsObject *self = (WordsObject *)object;
    PyObject *a[6];
    Py_buffer v[6];
    int held = 0;
    if (!PyArg_ParseTuple(args, "OOOOOO", a, a + 1, a + 2, a + 3, a + 4, a + 5))
        return NULL;
    while (held < 6 && view_of(a[held], v + held, sizes[held], held > 0))
        held++;
    int64_t tokens = self->notes ? self->starts[self->notes] : 0, size = 0;
    int sound = held == 6 &&
                demand(items(v) == self->table.words && known(self, v[0].buf, items(v + 1)) &&
                           items(v + 2) >= tokens && items(v + 3) >= tokens &&
                           items(v + 4) == self->notes + 1 && items(v + 5) == self->notes,
                       "words and terms");
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        size = count_terms(self->tokens, self->starts, self->notes, v[0].buf, v[1].buf, v[2].buf,
                           v[3].buf, v[4].buf, v[5].buf);
        Py_END_ALLOW_THREADS
    }
    while (held > 0)
        PyBuffer_Release(v + --held);
    return sound ? PyLong_FromLongLong(size) : NULL;
}

static PyMethodDef methods[] = {
    {"hard", words_hard, METH_O, "Positions of notes that Python must split."},
    {"split", words_split, METH_O, "Finds the words of notes."},
    {"words", words_words, METH_O, "The words from a number on."},
    {"count", words_count, METH_VARARGS, "Distinct terms of each note and their frequencies."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {{Py_tp_new, (void *)words_new},
                              {Py_tp_dealloc, (void *)words_dealloc},
                              {Py_tp_methods, methods},
                              {0, NULL}};
PyType_Spec words_spec = {"_native.Words", sizeof(WordsObject), 0, Py_TPFLAGS_DEFAULT, slots};
