// Numbers as people read them. Pure.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(n) {
    let unit = 0;
    while (n >= 999.5 && unit < UNITS.length - 1) {
        n /= 1000;
        unit++;
    }
    const digits = unit > 0 && n < 9.95 ? 1 : 0;
    return `${n.toFixed(digits)} ${UNITS[unit]}`;
}

export function speed(bytesPerSecond) {
    return `${bytes(bytesPerSecond)}/s`;
}

// Media seconds per second of work: 2.4 reads "2.4×".
export function pace(factor) {
    return `${factor.toFixed(factor < 9.95 ? 1 : 0)}×`;
}

export function duration(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60)
        return `${s} s`;
    const minutes = Math.floor(s / 60);
    if (minutes < 10 && s % 60)
        return `${minutes} min ${s % 60} s`;
    if (minutes < 60)
        return `${minutes} min`;
    const rest = minutes % 60;
    return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${Math.floor(minutes / 60)} h`;
}

// Rounded down, so that 100 means done and nothing less.
export function percent(fraction) {
    return Math.floor(Math.min(1, Math.max(0, fraction)) * 100 + 1e-9);
}

export function ago(then, now) {
    const s = Math.max(0, (now - then) / 1000);
    if (s < 10)
        return 'just now';
    if (s < 60)
        return `${Math.floor(s / 10) * 10} s ago`;
    if (s < 3600)
        return `${Math.floor(s / 60)} min ago`;
    if (s < 86400)
        return `${Math.floor(s / 3600)} h ago`;
    if (s < 7 * 86400) {
        const days = Math.floor(s / 86400);
        return days === 1 ? 'yesterday' : `${days} days ago`;
    }
    return new Date(then).toLocaleDateString();
}

// What a program says, as one would write it: "it is gone" reads "It is gone."
export function sentence(text) {
    const said = text.trim();
    const end = /[.!?…:]$/.test(said) || !said ? '' : '.';
    const isName = /^(ffmpeg|ffprobe|yt-dlp)\b/.test(said);
    return (isName ? said.charAt(0) : said.charAt(0).toUpperCase()) + said.slice(1) + end;
}

// An address that somebody has typed: https where it does not say.
export function address(text) {
    const typed = text.trim();
    return /^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `https://${typed}`;
}

// An address to tell it from others by, without what may be secret in it.
export function shortAddress(text) {
    try {
        const { host, pathname } = new URL(text);
        return host + (pathname === '/' ? '' : pathname);
    } catch {
        return text;
    }
}

// A moment from the server, ISO text or a number, as milliseconds since 1970;
// seconds are told from milliseconds by their size.
export function moment(value) {
    if (typeof value === 'number')
        return value < 1e11 ? value * 1000 : value;
    const parsed = Date.parse(value ?? '');
    return Number.isNaN(parsed) ? 0 : parsed;
}
