/* Tokenising: UTF-8 bytes to word ids, and word ids to terms with their frequencies.
 *
 * A word is a maximal run of characters for which Python's \w holds, in lower case. Words are
 * found in an open-addressing hash table that stores the bytes of each word once, so equal
 * hashes never merge different words.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

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

static int encode(uint32_t code, uint8_t *out)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 63));
        return 2;
    }
    out[0] = (uint8_t)(0xE0 | code >> 12);
    out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
    out[2] = (uint8_t)(0x80 | (code & 63));
    return 3;
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

/* Writes the word at *at in lower case to `out` and moves *at past it; returns its bytes. */
static int64_t word_at(const WordTable *t, const uint8_t *data, int64_t size, int64_t *at,
                       uint8_t *out)
{
    int64_t position = *at, length = 0;
    while (position < size) {
        if (data[position] < 0x80) {
            uint8_t lower = (uint8_t)t->fold[data[position]];
            if (!lower)
                break;
            out[length++] = lower;
            position++;
            continue;
        }
        uint32_t code;
        int step = decode(data + position, size - position, &code);
        if (code == BEYOND) {
            /* Such notes arrive with their words already found, in lower case. */
            memcpy(out + length, data + position, (size_t)step);
            length += step;
        } else if (!t->fold[code])
            break;
        else
            length += encode(t->fold[code], out + length);
        position += step;
    }
    *at = position;
    return length;
}

static uint64_t hash_of(const uint8_t *word, int64_t length)
{
    uint64_t value = 0x9E3779B97F4A7C15u ^ (uint64_t)length, eight;
    for (; length >= 8; word += 8, length -= 8) {
        memcpy(&eight, word, 8);
        value = (value ^ eight) * 0xFF51AFD7ED558CCDu;
        value ^= value >> 32;
    }
    eight = 0;
    memcpy(&eight, word, (size_t)length);
    value = (value ^ eight) * 0xC4CEB9FE1A85EC53u;
    return value ^ value >> 29;
}

static int rehash(WordTable *t)
{
    int64_t *table = calloc((size_t)t->slots, sizeof *table);
    if (!table)
        return 0;
    uint64_t mask = (uint64_t)t->slots - 1;
    for (int64_t word = 0; word < t->words; word++) {
        uint64_t slot = t->hashes[word] & mask;
        while (table[slot])
            slot = (slot + 1) & mask;
        table[slot] = word + 1;
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
    /* Lower case may take three bytes where upper case took two. */
    int64_t arena = t->used + 2 * bytes + 8, words = t->words + bytes / 2 + 1;
    if (arena > t->arena_size) {
        if (!grow((void **)&t->arena, 2 * arena, 1))
            return 0;
        t->arena_size = 2 * arena;
    }
    if (words <= t->capacity)
        return 1;
    int64_t capacity = 2 * words, slots = t->slots ? t->slots : 1;
    while (slots < 2 * capacity)
        slots *= 2;
    if (!grow((void **)&t->hashes, capacity, sizeof *t->hashes) ||
        !grow((void **)&t->offsets, capacity + 1, sizeof *t->offsets))
        return 0;
    t->capacity = capacity;
    t->offsets[0] = 0;
    t->slots = slots;
    return rehash(t);
}

/* The id of the word whose bytes stand at the end of the arena. */
static int32_t number(WordTable *t, int64_t length)
{
    const uint8_t *word = t->arena + t->used;
    uint64_t value = hash_of(word, length), mask = (uint64_t)t->slots - 1, slot = value & mask;
    for (int64_t entry; (entry = t->table[slot]) != 0; slot = (slot + 1) & mask) {
        int64_t known = entry - 1, start = t->offsets[known];
        if (t->hashes[known] == value && t->offsets[known + 1] - start == length &&
            !memcmp(t->arena + start, word, (size_t)length))
            return (int32_t)known;
    }
    t->hashes[t->words] = value;
    t->used += length;
    t->offsets[t->words + 1] = t->used;
    t->table[slot] = t->words + 1;
    return (int32_t)t->words++;
}

/* Word ids of a note, for which `words_reserve` made room; returns how many there are. */
int64_t split_note(WordTable *t, const uint8_t *data, int64_t size, int32_t *words)
{
    int64_t found = 0;
    for (int64_t at = 0; at < size;) {
        int64_t length = word_at(t, data, size, &at, t->arena + t->used);
        if (length)
            words[found++] = number(t, length);
        else {
            uint32_t code;
            at += decode(data + at, size - at, &code);
        }
    }
    return found;
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
