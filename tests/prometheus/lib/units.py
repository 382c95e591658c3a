# SPDX-License-Identifier: Apache-2.0
"""Values as Grafana writes them, by the name of the unit."""
import math

SECONDS = ((1e-6, "µs"), (1e-3, "ms"), (1, "s"), (60, "min"), (3600, "h"))
BYTES = ((1, "B"), (1024, "KiB"), (1024**2, "MiB"), (1024**3, "GiB"))
NUMBERS = ((1, ""), (1e3, "K"), (1e6, "M"))
DECIMAL_BYTES = ((1, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"))


def scaled(value, scale, decimals):
    size, name = scale[0]
    for next_size, next_name in scale:
        if abs(value) >= next_size * 0.9995:
            size, name = next_size, next_name
    value /= size
    text = f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"
    return f"{text} {name}" if len(name) > 1 or name in "sBh" and name else text + name


def text(value, unit, decimals=None, now=0.0):
    """now: in seconds since 1970, of what is told as a time that is so long ago."""
    if math.isnan(value):
        return "–"
    if unit == "none":
        return f"{value:.{decimals or 0}f}"
    if unit == "percentunit":
        few = 2 if 0 < abs(value) < 0.01 else 1 if 0 < abs(value) < 0.1 else 0
        return f"{100 * value:.{few if decimals is None else decimals}f} %"
    if unit == "s":
        return "0 s" if value == 0 else scaled(value, SECONDS, decimals)
    if unit == "bytes":
        return scaled(value, BYTES, decimals)
    if unit == "Bps":
        return scaled(value, DECIMAL_BYTES, decimals)
    if unit == "cps":
        return scaled(value, NUMBERS, decimals) + "/s"
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    if unit == "dateTimeFromNow":
        return f"{scaled(now - value / 1000, SECONDS, None)} ago"
    return scaled(value, NUMBERS, decimals)
