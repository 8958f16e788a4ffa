/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC) + 1;
}

uint64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

static void split(uint64_t wall_us, struct tm *tm)
{
    time_t s = (time_t)(wall_us / 1000000u);
    gmtime_r(&s, tm);
}

static void put2(char *at, int v)
{
    at[0] = (char)('0' + v / 10 % 10);
    at[1] = (char)('0' + v % 10);
}

void clock_http_date(uint64_t wall_us, char *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    split(wall_us, &tm);
    memcpy(out, "Www, dd Mmm yyyy hh:mm:ss GMT", CLOCK_HTTP_DATE_OCTETS);
    memcpy(out, days + 3 * tm.tm_wday, 3);
    put2(out + 5, tm.tm_mday);
    memcpy(out + 8, months + 3 * tm.tm_mon, 3);
    put2(out + 12, (tm.tm_year + 1900) / 100);
    put2(out + 14, tm.tm_year % 100);
    put2(out + 17, tm.tm_hour);
    put2(out + 20, tm.tm_min);
    put2(out + 23, tm.tm_sec);
}

void clock_iso(uint64_t wall_us, char *out)
{
    struct tm tm;
    split(wall_us, &tm);
    memcpy(out, "yyyy-mm-ddThh:mm:ss.uuuuuuZ", CLOCK_ISO_OCTETS);
    put2(out, (tm.tm_year + 1900) / 100);
    put2(out + 2, tm.tm_year % 100);
    put2(out + 5, tm.tm_mon + 1);
    put2(out + 8, tm.tm_mday);
    put2(out + 11, tm.tm_hour);
    put2(out + 14, tm.tm_min);
    put2(out + 17, tm.tm_sec);
    uint64_t us = wall_us % 1000000u;
    for (int i = 5; i >= 0; i--, us /= 10)
        out[20 + i] = (char)('0' + us % 10);
}
