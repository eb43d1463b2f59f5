package message

import (
	"strings"
	"time"
)

// maxDateTokens is more than any date has. What is longer is no date.
const maxDateTokens = 20

// A dateParts is a date as it is collected word by word.
type dateParts struct {
	day, year       int // -1 until known
	month           time.Month
	hour, min, sec  int
	offset          int // seconds east of UTC
	hasTime, zoneIn bool
}

// ParseDate reads a date-time of RFC 5322 section 3.3, with the obsolete years and zones of section
// 4.3 and comments. The order of C's asctime and a missing time or zone are understood too. ok is
// false when there is no date in it.
func ParseDate(s string) (t time.Time, ok bool) {
	d := dateParts{day: -1, year: -1}
	sc := scanner{in: []byte(s)}
	for range maxDateTokens {
		if sc.end() {
			break
		}
		d.add(sc.dateToken())
	}
	return d.time()
}

// dateToken reads one word of a date: letters and digits, signs and colons as they stand together.
func (s *scanner) dateToken() string {
	start := s.pos
	for s.pos < len(s.in) {
		switch c := s.in[s.pos]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == ':', c == '+', c == '-':
			s.pos++
			continue
		}
		break
	}
	if s.pos == start {
		s.pos++ // a comma or junk
		return ""
	}
	return string(s.in[start:s.pos])
}

// add takes up one word.
func (d *dateParts) add(w string) {
	switch {
	case w == "":
	case strings.Contains(w, ":") && w[0] >= '0' && w[0] <= '9':
		d.addTime(w)
	case d.hasTime && !d.zoneIn && (w[0] == '+' || w[0] == '-'):
		d.addOffset(w)
	case w[0] >= '0' && w[0] <= '9':
		d.addNumber(w)
	case d.month == 0 && monthOf(w) != 0:
		d.month = monthOf(w)
	case d.hasTime && !d.zoneIn:
		d.offset, d.zoneIn = zoneOffset(w), true
	}
}

// addTime reads hh:mm[:ss][zone].
func (d *dateParts) addTime(w string) {
	if d.hasTime {
		return
	}
	var hms [3]int
	i := 0
	for n := range hms {
		v, digits := number(w[i:])
		if digits == 0 {
			break
		}
		hms[n] = v
		i += digits
		if i >= len(w) || w[i] != ':' {
			break
		}
		i++
	}
	d.hour, d.min, d.sec, d.hasTime = hms[0], hms[1], hms[2], true
	if i < len(w) {
		d.add(w[i:])
	}
}

// addOffset reads a zone like -0330. A colon in it is common.
func (d *dateParts) addOffset(w string) {
	v, digits := number(strings.ReplaceAll(w[1:], ":", ""))
	if digits == 0 {
		return
	}
	if digits <= 2 {
		v *= 100
	}
	d.offset, d.zoneIn = v/100*3600+v%100*60, true
	if w[0] == '-' {
		d.offset = -d.offset
	}
}

// addNumber reads a day or a year, or both with the month between as in 21-Nov-1997.
func (d *dateParts) addNumber(w string) {
	v, digits := number(w)
	switch {
	case d.day < 0 && digits <= 2:
		d.day = v
	case d.year < 0 && digits <= 4:
		d.year = fullYear(v, digits)
	}
	if rest := strings.TrimLeft(w[digits:], "-"); rest != "" && len(rest) < len(w) {
		month, year, _ := strings.Cut(rest, "-")
		if d.month == 0 {
			d.month = monthOf(month)
		}
		if v, n := number(year); n > 0 && d.year < 0 {
			d.year = fullYear(v, n)
		}
	}
}

// fullYear completes years of two and three digits (RFC 5322 section 4.3).
func fullYear(v, digits int) int {
	switch {
	case digits == 2 && v < 50:
		return v + 2000
	case digits <= 3:
		return v + 1900
	}
	return v
}

// time returns the date when day, month and year are there and every number is in its range. A
// second of 60 is a leap second.
func (d *dateParts) time() (time.Time, bool) {
	if d.day < 1 || d.day > 31 || d.month == 0 || d.year < 0 || d.hour > 23 || d.min > 59 || d.sec > 60 ||
		d.offset <= -24*3600 || d.offset >= 24*3600 {
		return time.Time{}, false
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	t := time.Date(d.year, d.month, d.day, d.hour, d.min, d.sec, 0, zone)
	if t.Month() != d.month && d.hour < 23 { // 31 February
		return time.Time{}, false
	}
	return t, true
}

// number reads the digits that s begins with, at most six.
func number(s string) (v, digits int) {
	for digits < len(s) && digits < 6 && s[digits] >= '0' && s[digits] <= '9' {
		v = v*10 + int(s[digits]-'0')
		digits++
	}
	return v, digits
}

func monthOf(w string) time.Month {
	if len(w) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(w[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// zoneOffset knows the named zones of RFC 5322 section 4.3. All others, the military letters among
// them, mean UTC: nobody used them rightly.
func zoneOffset(name string) int {
	switch strings.ToUpper(name[:min(len(name), 3)]) { // three, for EST5EDT
	case "EDT":
		return -4 * 3600
	case "EST", "CDT":
		return -5 * 3600
	case "CST", "MDT":
		return -6 * 3600
	case "MST", "PDT":
		return -7 * 3600
	case "PST":
		return -8 * 3600
	}
	return 0
}
