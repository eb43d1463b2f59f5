package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/dns"
)

// Bounds of a policy.
const (
	maxPolicy   = 64 << 10 // bytes (RFC 8461 section 3.3 suggests 64 KiB)
	maxPatterns = 100
	maxLines    = 500
	maxText     = 20       // lines that are kept for reports
	maxID       = 32       // RFC 8461 section 3.1
	maxMaxAge   = 31557600 // seconds; RFC 8461 section 3.2
)

// Parse reads a policy file (RFC 8461 section 3.2). Lines may end in LF alone; unknown fields are passed
// over; of a field that stands twice, other than mx, the first counts.
func Parse(body []byte) (Policy, error) {
	if len(body) > maxPolicy {
		return Policy{}, fmt.Errorf("it is longer than %d bytes", maxPolicy)
	}
	lines := strings.Split(string(body), "\n")
	if len(lines) > maxLines {
		return Policy{}, fmt.Errorf("it has more than %d lines", maxLines)
	}
	fields := make(map[string]string)
	var p Policy
	for _, line := range lines {
		line = strings.Trim(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t")
		if !ok || !isFieldName(name) {
			return Policy{}, fmt.Errorf("%.60q is no field", line)
		}
		if len(p.Text) < maxText {
			p.Text = append(p.Text, plain(line))
		}
		if err := p.set(fields, name, value); err != nil {
			return Policy{}, err
		}
	}
	return p, p.complete(fields)
}

// set takes one field.
func (p *Policy) set(fields map[string]string, name, value string) error {
	if name != "mx" {
		if _, twice := fields[name]; !twice {
			fields[name] = value
		}
		return nil
	}
	pattern := strings.ToLower(value)
	if !dns.IsHostName(strings.TrimPrefix(pattern, "*.")) {
		return fmt.Errorf("the mx pattern %.80q is neither a host name nor one after \"*.\"", value)
	}
	if len(p.MX) == maxPatterns {
		return fmt.Errorf("it has more than %d mx patterns", maxPatterns)
	}
	p.MX = append(p.MX, pattern)
	return nil
}

func (p *Policy) complete(fields map[string]string) error {
	if v := fields["version"]; v != "STSv1" {
		return fmt.Errorf("its version is %.20q, not STSv1", v)
	}
	p.Mode = Mode(fields["mode"])
	if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
		return fmt.Errorf("its mode is %.20q, not enforce, testing or none", p.Mode)
	}
	if p.Mode != None && len(p.MX) == 0 {
		return errors.New("it lists no mx")
	}
	seconds, err := strconv.ParseUint(fields["max_age"], 10, 32)
	if err != nil {
		return fmt.Errorf("its max_age is %.20q, not a number of seconds", fields["max_age"])
	}
	p.MaxAge = time.Duration(min(seconds, maxMaxAge)) * time.Second
	return nil
}

// isFieldName tells a sts-policy-ext-name: letters and digits with "_", "-" and "." after the first.
func isFieldName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 32
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// plain makes a stranger's line fit for logs and reports.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

// parseRecord returns the id of the TXT records at _mta-sts (RFC 8461 section 3.1). Records of another
// version do not count. None, or more than one, means that the domain has no policy.
func parseRecord(records []string) (id string, found bool) {
	n := 0
	for _, text := range records {
		parts := strings.Split(text, ";")
		if strings.TrimRight(parts[0], " \t") != "v=STSv1" {
			continue
		}
		n++
		for _, part := range parts[1:] {
			name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if name == "id" && id == "" {
				id = value
			}
		}
	}
	return id, n == 1 && isID(id)
}

func isID(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxID
}
