/* A fuzzer's main where libFuzzer is not: gives the target every file of its
 * corpus, and then changed copies of them, always the same ones. What a fuzzer
 * once found stays tested wherever the tests run.
 *
 *     replay CORPUS-FOLDER [COPIES] */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { INPUT_MAX = 1 << 20, COPIES = 3000, CHANGES_MAX = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    char *name;
    uint8_t *data;
    size_t size;
};

struct corpus {
    struct input *inputs;
    size_t count;
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "replay: %s: %s\n", name, what);
    exit(2);
}

static void read_input(struct input *in, const char *folder, const char *name)
{
    struct buf path;
    FILE *file;

    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s", folder, name);
    file = fopen(buf_text(&path), "rb");
    if (file == NULL)
        die("cannot be opened", buf_text(&path));
    in->name = mem_strdup(name);
    in->data = mem_alloc(INPUT_MAX);
    in->size = fread(in->data, 1, INPUT_MAX, file);
    fclose(file);
    buf_deinit(&path);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names, so that every run is the same. */
static void corpus_read(struct corpus *c, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, alphasort);

    if (count <= 0)
        die("no inputs", folder);
    c->inputs = mem_zalloc((size_t)count * sizeof(*c->inputs));
    c->count = (size_t)count;
    for (int i = 0; i < count; i++) {
        read_input(&c->inputs[i], folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void corpus_deinit(struct corpus *c)
{
    for (size_t i = 0; i < c->count; i++) {
        mem_free(c->inputs[i].name);
        mem_free(c->inputs[i].data);
    }
    mem_free(c->inputs);
}

/* What is being tried is kept when it kills us. */
static const uint8_t *tried;
static size_t tried_size;

static void keep_tried(void)
{
    FILE *file = fopen("replay-crash", "wb");

    if (file == NULL)
        return;
    fwrite(tried, 1, tried_size, file);
    fclose(file);
    fputs("replay: the input is in ./replay-crash\n", stderr);
}

static void on_abort(int number)
{
    signal(number, SIG_DFL);
    keep_tried();
    raise(number);
}

/* The sanitizers' own, where they are linked in: they end without a signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_death(void)
{
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(keep_tried);
    else
        signal(SIGSEGV, on_abort);
    signal(SIGABRT, on_abort);
}

/* The target gets memory of the input's own size, as from libFuzzer. */
static void try(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_alloc(size > 0 ? size : 1);

    memcpy(copy, data, size);
    tried = data;
    tried_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
}

static uint32_t dice = 1;

static size_t roll(size_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static void swap_in(uint8_t *at, size_t room, const struct input *from)
{
    if (room == 0 || from->size == 0)
        return;
    size_t begin = roll(from->size);
    size_t len = 1 + roll(from->size - begin);
    memcpy(at, from->data + begin, len < room ? len : room);
}

static size_t change(uint8_t *data, size_t size, const struct input *other)
{
    static const uint8_t telling[] = { 0x00, 0x7f, 0x80, 0xff, '"', '\\', '{', '\r', '\n', '0' };
    size_t at;

    if (size == 0)
        return 0;
    at = roll(size);
    switch (roll(6)) {
    case 0: data[at] ^= (uint8_t)(1u << roll(8)); return size;
    case 1: data[at] = telling[roll(sizeof(telling))]; return size;
    case 2: return at;
    case 3: memmove(data + at, data + at + 1, size - at - 1); return size - 1;
    case 4:
        if (size == INPUT_MAX)
            return size;
        memmove(data + at + 1, data + at, size - at);
        return size + 1;
    default: swap_in(data + at, size - at, other); return size;
    }
}

static void try_changed(const struct corpus *c, size_t copies)
{
    uint8_t *data = mem_alloc(INPUT_MAX);

    for (size_t i = 0; i < copies; i++) {
        const struct input *in = &c->inputs[i % c->count];
        size_t size = in->size;
        memcpy(data, in->data, size);
        for (size_t n = 1 + roll(CHANGES_MAX); n > 0; n--)
            size = change(data, size, &c->inputs[roll(c->count)]);
        try(data, size);
    }
    mem_free(data);
}

int main(int argc, char **argv)
{
    struct corpus corpus;
    uint64_t copies = COPIES;

    if (argc < 2)
        die("usage: replay FOLDER [COPIES]", argv[0]);
    if (argc > 2 && str_parse_u64(str_of(argv[2]), 1u << 30, &copies) != OK)
        die("not a number", argv[2]);
    corpus_read(&corpus, argv[1]);
    watch_for_death();
    for (size_t i = 0; i < corpus.count; i++)
        try(corpus.inputs[i].data, corpus.inputs[i].size);
    try_changed(&corpus, copies);
    printf("%zu inputs, %zu changed copies\n", corpus.count, (size_t)copies);
    corpus_deinit(&corpus);
    return 0;
}
