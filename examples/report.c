/* Reports a job that does nothing but count frames. With libreelay installed:
 *
 *     cc -o report report.c $(pkg-config --cflags --libs libreelay)
 *     REDIS_URL=redis://localhost:6379 ./report render-7
 */
#include <reelay/reelay.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void render_a_frame(void)
{
    struct timespec five_ms = { 0, 5 * 1000 * 1000 };

    nanosleep(&five_ms, NULL);
}

static int complain(struct reelay *reporter, int error)
{
    char text[256];

    reelay_last_error(reporter, text, sizeof(text));
    fprintf(stderr, "report: %s: %s\n", reelay_strerror(error), text);
    return 1;
}

int main(int argc, char **argv)
{
    const int frames = 2000;
    const char *job = argc > 1 ? argv[1] : "render-7";
    char message[64], metadata[64];
    int error;

    if (strcmp(job, "--version") == 0) {
        printf("libreelay %s\n", reelay_version());
        return 0;
    }
    struct reelay *reporter = reelay_open(NULL); /* REDIS_URL, and the defaults */
    if (reporter == NULL) {
        perror("report: reelay_open");
        return 1;
    }
    for (int frame = 0; frame < frames; frame++) {
        render_a_frame();
        snprintf(message, sizeof(message), "Rendering frame %d/%d", frame, frames);
        snprintf(metadata, sizeof(metadata), "{\"current_frame\":%d}", frame);
        /* As often as one likes: Redis gets about ten a second. */
        error =
            reelay_report(reporter, job, "rendering", (double)frame / frames, message, metadata);
        if (error)
            complain(reporter, error);
    }
    error = reelay_report_complete(reporter, job, "{\"frames\":2000}", "Video rendering completed");
    if (error)
        complain(reporter, error);
    return reelay_close(reporter) == REELAY_OK ? 0 : 1;
}
