#include "proto/content_date.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* Each letter stands for what it takes of the text, any other character for
 * itself: w short weekday, W long one, d day, s day or space and digit, m month,
 * y year, z its last two digits, H N S time of day. */
static const char *const forms[] = {
    "w, d m y H:N:S GMT", /* Sun, 06 Nov 1994 08:49:37 GMT */
    "W, d-m-z H:N:S GMT", /* Sunday, 06-Nov-94 08:49:37 GMT */
    "w m s H:N:S y",      /* Sun Nov  6 08:49:37 1994 */
};

static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday" };
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void skip(struct str *text, size_t len)
{
    text->at += len;
    text->len -= len;
}

static bool take_number(struct str *text, size_t digits, int *out)
{
    int value = 0;

    if (text->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text->at[i] < '0' || text->at[i] > '9')
            return false;
        value = value * 10 + (text->at[i] - '0');
    }
    skip(text, digits);
    *out = value;
    return true;
}

static bool take_weekday(struct str *text, bool is_long)
{
    for (size_t i = 0; i < 7; i++) {
        struct str name = { weekdays[i], is_long ? strlen(weekdays[i]) : 3 };
        if (str_starts(*text, name)) {
            skip(text, name.len);
            return true;
        }
    }
    return false;
}

static bool take_month(struct str *text, int *out)
{
    for (int i = 0; i < 12; i++)
        if (str_starts(*text, (struct str){ months + 3 * i, 3 })) {
            skip(text, 3);
            *out = i;
            return true;
        }
    return false;
}

static bool take_padded(struct str *text, int *out)
{
    if (!str_starts(*text, STR(" ")))
        return take_number(text, 2, out);
    skip(text, 1);
    return take_number(text, 1, out);
}

static bool take_year(struct str *text, size_t digits, int *out)
{
    if (!take_number(text, digits, out))
        return false;
    if (digits == 2)
        *out += *out < 70 ? 2000 : 1900;
    *out -= 1900;
    return true;
}

static bool take_piece(char form, struct str *text, struct tm *utc)
{
    switch (form) {
    case 'w': return take_weekday(text, false);
    case 'W': return take_weekday(text, true);
    case 'd': return take_number(text, 2, &utc->tm_mday);
    case 's': return take_padded(text, &utc->tm_mday);
    case 'm': return take_month(text, &utc->tm_mon);
    case 'y': return take_year(text, 4, &utc->tm_year);
    case 'z': return take_year(text, 2, &utc->tm_year);
    case 'H': return take_number(text, 2, &utc->tm_hour);
    case 'N': return take_number(text, 2, &utc->tm_min);
    case 'S': return take_number(text, 2, &utc->tm_sec);
    default: break;
    }
    if (text->len == 0 || text->at[0] != form)
        return false;
    skip(text, 1);
    return true;
}

/* The 31st of February does not become the 3rd of March. A leap second counts
 * as the one before it, and what was before 1970 as 1970: nothing here is older. */
static int64_t seconds_of(struct tm utc)
{
    struct tm normal;

    if (utc.tm_hour > 23 || utc.tm_min > 59 || utc.tm_sec > 60)
        return -1;
    utc.tm_sec -= utc.tm_sec == 60;
    normal = utc;
    int64_t seconds = (int64_t)timegm(&normal);
    if (normal.tm_mday != utc.tm_mday || normal.tm_mon != utc.tm_mon)
        return -1;
    return seconds > 0 ? seconds : 0;
}

int64_t content_parse_date(struct str text)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct str rest = text;
        struct tm utc = { 0 };
        const char *form = forms[i];
        while (*form != '\0' && take_piece(*form, &rest, &utc))
            form++;
        if (*form == '\0' && rest.len == 0)
            return seconds_of(utc);
    }
    return -1;
}
