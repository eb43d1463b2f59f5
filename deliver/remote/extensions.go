package remote

import (
	"strconv"
	"strings"
	"time"

	"posthaste/mail"
)

// extensions is what a host offers in reply to EHLO.
type extensions struct {
	name       string // what the host calls itself
	pipelining bool
	eightBit   bool
	chunking   bool
	binary     bool
	utf8       bool
	dsn        bool
	startTLS   bool
	requireTLS bool
	size       bool
	maxSize    int64    // 0: no limit known
	auth       []string // mechanisms, upper case
	priority   bool
	deliverBy  bool
	minBy      time.Duration // least time of BY in mode R; 0: none
	limits     limits
}

// limits is what a host takes (RFC 9422). 0: no limit known.
type limits struct{ mails, rcpts, domains int }

// parseExtensions reads the reply to EHLO (RFC 5321 section 4.1.1.1).
func parseExtensions(reply *mail.Status) extensions {
	var ext extensions
	for i, line := range strings.Split(reply.Text, "\n") {
		fields := strings.Fields(strings.ToUpper(line))
		if len(fields) == 0 {
			continue
		}
		if i == 0 {
			ext.name = strings.ToLower(fields[0])
			continue
		}
		ext.add(fields[0], fields[1:])
	}
	return ext
}

func (ext *extensions) add(keyword string, params []string) {
	switch keyword {
	case "PIPELINING":
		ext.pipelining = true
	case "8BITMIME":
		ext.eightBit = true
	case "CHUNKING":
		ext.chunking = true
	case "BINARYMIME":
		ext.binary = true
	case "SMTPUTF8":
		ext.utf8 = true
	case "DSN":
		ext.dsn = true
	case "STARTTLS":
		ext.startTLS = true
	case "REQUIRETLS":
		ext.requireTLS = true
	case "AUTH":
		ext.auth = params
	case "MT-PRIORITY":
		ext.priority = true
	case "DELIVERBY":
		ext.deliverBy = true
		if len(params) > 0 {
			ext.minBy = time.Duration(atoi(params[0], maxBy)) * time.Second
		}
	case "LIMITS":
		ext.limits = parseLimits(params)
	case "SIZE":
		ext.size = true
		if len(params) > 0 {
			if n, err := strconv.ParseInt(params[0], 10, 64); err == nil && n > 0 {
				ext.maxSize = n
			}
		}
	}
}

// maxBy is the largest number of seconds that BY can have (RFC 2852 section 4).
const maxBy = 999_999_999

// parseLimits reads "MAILMAX=100 RCPTMAX=10". What is unknown or malformed is passed over (RFC 9422
// section 3).
func parseLimits(params []string) limits {
	var l limits
	for _, param := range params {
		name, value, _ := strings.Cut(param, "=")
		switch n := atoi(value, 999_999); name { // a limit has at most six digits
		case "MAILMAX":
			l.mails = n
		case "RCPTMAX":
			l.rcpts = n
		case "RCPTDOMAINMAX":
			l.domains = n
		}
	}
	return l
}

// atoi returns the number of 1 to limit that s is, else 0.
func atoi(s string, limit int) int {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > uint64(limit) {
		return 0
	}
	return int(n)
}
