package smtp

import (
	"strconv"
	"strings"
	"time"

	"posthaste/mail"
)

// Bounds of RFC 2852 section 4 and RFC 4865 section 3: at most nine digits.
const maxSeconds = 999_999_999

// A By is the parameter BY (RFC 2852 section 4): the seconds left for delivery, counted from MAIL, and
// what to do when they are over. Without Mode it was not given.
type By struct {
	Seconds int // -999999999 to 999999999; above 0 with ByReturn
	Mode    mail.ByMode
	Trace   bool
}

// String returns the value of the parameter: "120;R".
func (b By) String() string {
	if b.Mode == "" {
		return ""
	}
	s := strconv.Itoa(b.Seconds) + ";" + string(b.Mode)
	if b.Trace {
		s += "T"
	}
	return s
}

// parseBy reads by-time ";" by-mode [by-trace].
func parseBy(value string) (b By, ok bool) {
	seconds, mode, ok := strings.Cut(strings.ToUpper(value), ";")
	if !ok {
		return By{}, false
	}
	if b.Seconds, ok = parseSeconds(seconds); !ok {
		return By{}, false
	}
	mode, b.Trace = strings.CutSuffix(mode, "T")
	b.Mode = mail.ByMode(mode)
	switch b.Mode {
	case mail.ByNotify:
		return b, true
	case mail.ByReturn:
		return b, b.Seconds > 0 // RFC 2852 section 4: no message can be late already
	}
	return By{}, false
}

// parseSeconds reads ["-" / "+"] 1*9digit.
func parseSeconds(s string) (int, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || len(digits) > 9 {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= -maxSeconds && n <= maxSeconds
}

// Bounds of the priority of a message (RFC 6710 section 3).
const (
	minPriority = -9
	maxPriority = 9
)

// parsePriority reads a priority-value: one digit, negative with "-", and no "-0".
func parsePriority(value string) (int8, bool) {
	n, err := strconv.ParseInt(value, 10, 8)
	ok := err == nil && n >= minPriority && n <= maxPriority && strconv.FormatInt(n, 10) == value
	return int8(n), ok
}

// parseHoldFor reads a future-release-integer (RFC 4865 section 3): seconds above 0, without zeros before.
func parseHoldFor(value string) (time.Duration, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	ok := err == nil && n > 0 && n <= maxSeconds && strconv.FormatInt(n, 10) == value
	return time.Duration(n) * time.Second, ok
}

// parseHoldUntil reads a date-time of RFC 3339 in UTC, which RFC 4865 section 3 wants it to be.
func parseHoldUntil(value string) (time.Time, bool) {
	if !strings.HasSuffix(strings.ToUpper(value), "Z") {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(value))
	return t.UTC().Truncate(time.Second), err == nil && t.Year() >= 1970
}

// HoldTime prints t as HOLDUNTIL and FUTURERELEASE want it.
func HoldTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
