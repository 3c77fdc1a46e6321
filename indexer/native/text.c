/* Tokenising: UTF-8 bytes to word ids, and word ids to terms with their frequencies.
 *
 * A word is a maximal run of characters for which Python's \w holds, in lower case. Words are
 * found in an open-addressing hash table that stores the bytes of each word once, so equal
 * hashes never merge different words.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* Words looked up together. */
#define AT_ONCE 32
/* Bytes that a text may take in lower case: three where upper case took two. */
#define LOWER_BYTES(size) ((size) + (size) / 2 + 8)

/* Bytes of the character at `data`, and its code; what is cut off counts as ended. */
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
    *code = BEYOND;
    return left < 4 ? (int)left : 4;
}

/* True for a note that holds a character whose lower case only Python knows. */
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
        if (code == BEYOND || t->fold[code] == ASK_PYTHON)
            return 1;
    }
    return 0;
}

/* A word found in a note: where its lower case stands, how long it is, and its hash. */
typedef struct {
    const uint8_t *bytes;
    int64_t length;
    uint64_t hash;
} Word;

/* A word that grows byte by byte; it is hashed on the way, eight bytes at a time. */
typedef struct {
    uint8_t *bytes;
    int64_t length;
    uint64_t eight, hash;
} Growing;

static inline void append(Growing *word, uint8_t byte)
{
    word->bytes[word->length] = byte;
    word->eight |= (uint64_t)byte << (word->length & 7) * 8;
    if ((++word->length & 7) == 0) {
        word->hash = (word->hash ^ word->eight) * 0xFF51AFD7ED558CCDu;
        word->hash ^= word->hash >> 32;
        word->eight = 0;
    }
}

static void append_code(Growing *word, uint32_t code)
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

/* The word at *at, its lower case written to `out`; *at moves past it. */
static Word word_at(const WordTable *t, const uint8_t *data, int64_t size, int64_t *at,
                    uint8_t *out)
{
    Growing word = {out, 0, 0, 0x9E3779B97F4A7C15u};
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
        if (code != BEYOND && !t->fold[code])
            break;
        if (code != BEYOND)
            append_code(&word, t->fold[code]);
        /* Such notes arrive with their words already found, in lower case. */
        for (int i = 0; code == BEYOND && i < step; i++)
            append(&word, data[position + i]);
        position += step;
    }
    *at = position;
    uint64_t hash = (word.hash ^ word.eight ^ (uint64_t)word.length) * 0xC4CEB9FE1A85EC53u;
    Word found = {out, word.length, hash ^ hash >> 29};
    return found;
}

/* Up to eight bytes as a number, zeros beyond `length`. Reads eight: the arena has them. */
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

static int same(const uint8_t *one, const uint8_t *other, int64_t length)
{
    for (; length > 8; one += 8, other += 8, length -= 8)
        if (first_bytes(one, 8) != first_bytes(other, 8))
            return 0;
    return first_bytes(one, length) == first_bytes(other, length);
}

/* A slot of the table: half of the hash, and the word's number from one on. */
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

static int grow(void **block, int64_t count, size_t size)
{
    void *larger = realloc(*block, (size_t)count * size);
    if (larger)
        *block = larger;
    return larger != NULL;
}

/* Makes room for the words of a note of so many bytes; 0 where memory is short. */
int words_reserve(WordTable *t, int64_t bytes)
{
    /* Room for new words, and before they are looked up for all words of the note. */
    int64_t arena = t->used + 2 * LOWER_BYTES(bytes) + 8, words = t->words + bytes / 2 + 1;
    if (arena > t->arena_size) {
        if (!grow((void **)&t->arena, 2 * arena, 1))
            return 0;
        t->arena_size = 2 * arena;
    }
    if (words <= t->capacity)
        return 1;
    int64_t capacity = 2 * words, slots = t->slots ? t->slots : 1;
    while (2 * slots < 3 * capacity)
        slots *= 2;
    if (!grow((void **)&t->hashes, capacity, sizeof *t->hashes) ||
        !grow((void **)&t->offsets, capacity + 1, sizeof *t->offsets))
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

/* The id of a word, a new one if it is new. */
static int32_t number(WordTable *t, const Word *word)
{
    uint64_t mask = (uint64_t)t->slots - 1, slot = word->hash & mask;
    for (uint64_t entry; (entry = t->table[slot]) != 0; slot = (slot + 1) & mask) {
        if (entry >> 32 != word->hash >> 32)
            continue;
        int64_t known = (int64_t)(uint32_t)entry - 1, start = t->offsets[known];
        if (t->offsets[known + 1] - start == word->length &&
            same(t->arena + start, word->bytes, word->length))
            return (int32_t)known;
    }
    return add_word(t, word, slot);
}

/* Ids of some words. What their look-up will read is asked for one step ahead: waiting for
 * memory is what it would spend its time on. */
static void number_all(WordTable *t, const Word *some, int64_t count, int32_t *words)
{
    uint64_t mask = (uint64_t)t->slots - 1;
    for (int64_t i = 0; i < count; i++) {
        uint64_t entry = t->table[some[i].hash & mask];
        PREFETCH(t->offsets + (uint32_t)entry);
    }
    for (int64_t i = 0; i < count; i++)
        words[i] = number(t, some + i);
}

/* Word ids of a note, for which `words_reserve` made room; returns how many there are. */
int64_t split_note(WordTable *t, const uint8_t *data, int64_t size, int32_t *words)
{
    Word some[AT_ONCE];
    int64_t found = 0, pending = 0;
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
        some[pending++] = word;
        if (pending == AT_ONCE) {
            number_all(t, some, pending, words + found);
            found += pending;
            pending = 0;
        }
    }
    number_all(t, some, pending, words + found);
    return found + pending;
}

/* Distinct terms of each note with their frequencies, in order of first appearance. `place` has
 * an entry, -1, for every term. Returns how many postings there are. */
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
