/* Tokenising: UTF-8 bytes to word ids, and word ids to terms with their frequencies.
 *
 * A word is a maximal run of characters that match Python's \w, in lower case. An open-addressing
 * hash table stores the bytes of each distinct word, so words with equal hashes stay apart.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* Number of words looked up together. */
#define LOOKUP_BATCH 32
/* Maximal size of a text in lower case: a character of two bytes may become one of three. */
#define LOWER_BYTES(size) ((size) + (size) / 2 + 8)

/* Size in bytes of the character at `data`, and its code; a truncated one ends with the data. */
static int decode(const uint8_t *data, int64_t left, uint32_t *code)
{
    if (data[0] < 0x80) {
        *code = data[0];
        return 1;
    }
    if (data[0] < 0xE0 && left >= 2) {
        *code = (uint32_t)(data[0] & 31) << 6 | (data[1] & 63);
        return 2;
    }
    if (data[0] < 0xF0 && left >= 3) {
        *code = (uint32_t)(data[0] & 15) << 12 | (uint32_t)(data[1] & 63) << 6 | (data[2] & 63);
        return 3;
    }
    *code = BEYOND_BMP;
    return left < 4 ? (int)left : 4;
}

/* True if a note has a character that only Python lower-cases correctly. */
int needs_python(const WordTable *t, const uint8_t *data, int64_t size)
{
    for (int64_t at = 0; at < size;) {
        uint64_t eight;
        if (at + 8 <= size && (memcpy(&eight, data + at, 8), !(eight & 0x8080808080808080u))) {
            at += 8;
            continue;
        }
        uint32_t code;
        at += decode(data + at, size - at, &code);
        if (code == BEYOND_BMP || t->fold[code] == NEEDS_PYTHON)
            return 1;
    }
    return 0;
}

/* A word of a note: its bytes in lower case and its hash. */
typedef struct {
    const uint8_t *bytes;
    int64_t length;
    uint64_t hash;
} Word;

/* A word that is built byte by byte and hashed on the way, eight bytes at a time. */
typedef struct {
    uint8_t *bytes;
    int64_t length;
    uint64_t eight, hash;
} WordBuilder;

static inline void append(WordBuilder *word, uint8_t byte)
{
    word->bytes[word->length] = byte;
    word->eight |= (uint64_t)byte << (word->length & 7) * 8;
    if ((++word->length & 7) == 0) {
        word->hash = (word->hash ^ word->eight) * 0xFF51AFD7ED558CCDu;
        word->hash ^= word->hash >> 32;
        word->eight = 0;
    }
}

static void append_code(WordBuilder *word, uint32_t code)
{
    if (code < 0x80) {
        append(word, (uint8_t)code);
        return;
    }
    if (code < 0x800)
        append(word, (uint8_t)(0xC0 | code >> 6));
    else {
        append(word, (uint8_t)(0xE0 | code >> 12));
        append(word, (uint8_t)(0x80 | (code >> 6 & 63)));
    }
    append(word, (uint8_t)(0x80 | (code & 63)));
}

/* Reads the word at *at, writes its lower case to `out`, and moves *at past it. */
static Word word_at(const WordTable *t, const uint8_t *data, int64_t size, int64_t *at,
                    uint8_t *out)
{
    WordBuilder word = {out, 0, 0, 0x9E3779B97F4A7C15u};
    int64_t position = *at;
    while (position < size) {
        if (data[position] < 0x80) {
            uint8_t lower = (uint8_t)t->fold[data[position]];
            if (!lower)
                break;
            append(&word, lower);
            position++;
            continue;
        }
        uint32_t code;
        int step = decode(data + position, size - position, &code);
        if (code != BEYOND_BMP && !t->fold[code])
            break;
        if (code != BEYOND_BMP)
            append_code(&word, t->fold[code]);
        /* Python has split such notes into words and lower-cased them. */
        for (int i = 0; code == BEYOND_BMP && i < step; i++)
            append(&word, data[position + i]);
        position += step;
    }
    *at = position;
    uint64_t hash = (word.hash ^ word.eight ^ (uint64_t)word.length) * 0xC4CEB9FE1A85EC53u;
    return (Word){out, word.length, hash ^ hash >> 29};
}

/* The first bytes of a word, up to eight, as a number. Reads eight bytes: the arena has them. */
static uint64_t first_bytes(const uint8_t *word, int64_t length)
{
    uint64_t eight;
    memcpy(&eight, word, 8);
    if (length >= 8)
        return eight;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return eight >> (64 - 8 * length);
#else
    return eight & (((uint64_t)1 << 8 * length) - 1);
#endif
}

static int words_equal(const uint8_t *a, const uint8_t *b, int64_t length)
{
    for (; length > 8; a += 8, b += 8, length -= 8)
        if (first_bytes(a, 8) != first_bytes(b, 8))
            return 0;
    return first_bytes(a, length) == first_bytes(b, length);
}

/* A slot of the table: half of the hash, and the number of the word plus 1. */
static uint64_t entry_of(uint64_t hash, int64_t word)
{
    return hash >> 32 << 32 | (uint64_t)(word + 1);
}

static int rehash(WordTable *t)
{
    uint64_t *table = calloc((size_t)t->slots, sizeof *table);
    if (!table)
        return 0;
    uint64_t mask = (uint64_t)t->slots - 1;
    for (int64_t word = 0; word < t->words; word++) {
        uint64_t slot = t->hashes[word] & mask;
        while (table[slot])
            slot = (slot + 1) & mask;
        table[slot] = entry_of(t->hashes[word], word);
    }
    free(t->table);
    t->table = table;
    return 1;
}

static int resize(void **block, int64_t count, size_t size)
{
    void *larger = realloc(*block, (size_t)count * size);
    if (larger)
        *block = larger;
    return larger != NULL;
}

/* Makes room for the words of a note of `bytes` bytes; 0 if memory runs out. */
int words_reserve(WordTable *t, int64_t bytes)
{
    /* Room for the new words and, before they are looked up, for all words of the note. */
    int64_t arena = t->used + 2 * LOWER_BYTES(bytes) + 8, words = t->words + bytes / 2 + 1;
    if (arena > t->arena_size) {
        if (!resize((void **)&t->arena, 2 * arena, 1))
            return 0;
        t->arena_size = 2 * arena;
    }
    if (words <= t->capacity)
        return 1;
    int64_t capacity = 2 * words, slots = t->slots ? t->slots : 1;
    while (2 * slots < 3 * capacity)
        slots *= 2;
    if (!resize((void **)&t->hashes, capacity, sizeof *t->hashes) ||
        !resize((void **)&t->offsets, capacity + 1, sizeof *t->offsets))
        return 0;
    t->capacity = capacity;
    t->offsets[0] = 0;
    t->slots = slots;
    return rehash(t);
}

static int32_t add_word(WordTable *t, const Word *word, uint64_t slot)
{
    memmove(t->arena + t->used, word->bytes, (size_t)word->length);
    t->hashes[t->words] = word->hash;
    t->used += word->length;
    t->offsets[t->words + 1] = t->used;
    t->table[slot] = entry_of(word->hash, t->words);
    return (int32_t)t->words++;
}

/* The id of a word, which is added if it is new. */
static int32_t word_id(WordTable *t, const Word *word)
{
    uint64_t mask = (uint64_t)t->slots - 1, slot = word->hash & mask;
    for (uint64_t entry; (entry = t->table[slot]) != 0; slot = (slot + 1) & mask) {
        if (entry >> 32 != word->hash >> 32)
            continue;
        int64_t known = (int64_t)(uint32_t)entry - 1, start = t->offsets[known];
        if (t->offsets[known + 1] - start == word->length &&
            words_equal(t->arena + start, word->bytes, word->length))
            return (int32_t)known;
    }
    return add_word(t, word, slot);
}

/* Looks up the ids of a batch of words. Memory is prefetched a step ahead, since a look-up would
 * spend its time waiting for it. */
static void word_ids(WordTable *t, const Word *batch, int64_t count, int32_t *words)
{
    uint64_t mask = (uint64_t)t->slots - 1;
    for (int64_t i = 0; i < count; i++) {
        uint64_t entry = t->table[batch[i].hash & mask];
        PREFETCH(t->offsets + (uint32_t)entry);
    }
    for (int64_t i = 0; i < count; i++)
        words[i] = word_id(t, batch + i);
}

/* Writes the word ids of a note, for which `words_reserve` made room; returns their number. */
int64_t split_note(WordTable *t, const uint8_t *data, int64_t size, int32_t *words)
{
    Word batch[LOOKUP_BATCH];
    int64_t total = 0, pending = 0;
    uint64_t mask = (uint64_t)t->slots - 1;
    uint8_t *out = t->arena + t->used + LOWER_BYTES(size);
    for (int64_t at = 0; at < size;) {
        Word word = word_at(t, data, size, &at, out);
        if (!word.length) {
            uint32_t code;
            at += decode(data + at, size - at, &code);
            continue;
        }
        PREFETCH(t->table + (word.hash & mask));
        out += word.length;
        batch[pending++] = word;
        if (pending == LOOKUP_BATCH) {
            word_ids(t, batch, pending, words + total);
            total += pending;
            pending = 0;
        }
    }
    word_ids(t, batch, pending, words + total);
    return total + pending;
}

/* Writes the distinct terms of each note with their frequencies, in order of first appearance.
 * `place` has an entry for each term, all -1. Returns the number of postings. */
int64_t count_terms(const int32_t *words, const int64_t *starts, int64_t notes,
                    const int32_t *term_of_word, int64_t *place, uint32_t *out_terms,
                    uint32_t *out_tfs, int64_t *bounds, uint32_t *lengths)
{
    int64_t size = 0;
    bounds[0] = 0;
    for (int64_t note = 0; note < notes; note++) {
        int64_t first = size;
        uint32_t length = 0;
        for (int64_t i = starts[note]; i < starts[note + 1]; i++) {
            int32_t term = term_of_word[words[i]];
            if (term < 0)
                continue;
            length++;
            if (place[term] >= first)
                out_tfs[place[term]]++;
            else {
                place[term] = size;
                out_terms[size] = (uint32_t)term;
                out_tfs[size++] = 1;
            }
        }
        lengths[note] = length;
        bounds[note + 1] = size;
    }
    return size;
}
