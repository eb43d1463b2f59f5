package remote

import (
	"strconv"
	"strings"

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
}

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
	case "SIZE":
		ext.size = true
		if len(params) > 0 {
			if n, err := strconv.ParseInt(params[0], 10, 64); err == nil && n > 0 {
				ext.maxSize = n
			}
		}
	}
}
