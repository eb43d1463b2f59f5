package smtp

import (
	"strconv"
	"strings"

	"posthaste/mail"
)

// A Bdat is the BDAT command (RFC 3030 section 2): Size bytes follow its line.
type Bdat struct {
	Size int64
	Last bool
}

// ParseBdat reads the argument of BDAT.
func ParseBdat(arg string) (Bdat, error) {
	fields := strings.Fields(arg)
	bad := mail.NewStatus(501, "5.5.4", "want BDAT size [LAST]")
	if len(fields) == 0 || len(fields) > 2 || fields[0][0] < '0' || fields[0][0] > '9' {
		return Bdat{}, bad
	}
	n, err := strconv.ParseInt(fields[0], 10, 63)
	if err != nil {
		return Bdat{}, bad
	}
	if len(fields) == 2 && !strings.EqualFold(fields[1], "LAST") {
		return Bdat{}, bad
	}
	return Bdat{Size: n, Last: len(fields) == 2}, nil
}

// String returns the whole command line.
func (b Bdat) String() string {
	s := "BDAT " + strconv.FormatInt(b.Size, 10)
	if b.Last {
		s += " LAST"
	}
	return s
}
