/* The programs that conversions and downloads need. */
#ifndef CMD_PROGRAMS_H
#define CMD_PROGRAMS_H

/* Says which of them cannot be found. Progress is relayed without them too, and they
 * may come later, so it is no reason not to start. */
void programs_warn(const char *ffmpeg, const char *ffprobe);

/* The same of what downloads from pages need. */
void programs_warn_pages(const char *yt_dlp);

#endif
