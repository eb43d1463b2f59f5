package drop

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"posthaste/mail"
)

// magic is the first line of a file.
const magic = "posthaste-drop 1"

// A FormatError says what is wrong with a file.
type FormatError struct{ Reason string }

// Error returns the reason.
func (e *FormatError) Error() string { return "drop: " + e.Reason }

func malformed(format string, args ...any) error { return &FormatError{fmt.Sprintf(format, args...)} }

// head returns the lines before the content, which has size bytes.
func (s *Submission) head(size int64) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	line := func(key, value string) { fmt.Fprintf(&b, "%s %s\n", key, value) }
	fmt.Fprintln(&b, magic)
	if s.From != nil {
		line("from", s.From.String())
	}
	for key, value := range s.options() {
		if value != "" {
			line(key, value)
		}
	}
	if s.SMTPUTF8 {
		line("smtputf8", "1")
	}
	for _, r := range s.Recipients {
		line("to", strconv.Itoa(int(r.Notify))+" "+r.Address.String())
	}
	line("size", strconv.FormatInt(size, 10))
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (s *Submission) options() map[string]string {
	return map[string]string{"name": s.Name, "body": string(s.Body), "ret": string(s.Ret), "envid": s.EnvID}
}

// check refuses what cannot be written.
func (s *Submission) check() error {
	if n := len(s.Recipients); n == 0 || n > MaxRecipients {
		return malformed("%d recipients: a message may have 1 to %d", n, MaxRecipients)
	}
	for _, text := range s.options() {
		if strings.ContainsAny(text, "\r\n\x00") || len(text) > maxLine-64 {
			return malformed("%.60q is too long, or not one line", text)
		}
	}
	return nil
}

// parse reads a file. The content is a part of file.
func parse(file []byte) (s *Submission, content []byte, err error) {
	s = new(Submission)
	first, rest, _ := bytes.Cut(file, []byte("\n"))
	if string(first) != magic {
		return nil, nil, malformed("the first line is not %q", magic)
	}
	size := int64(-1)
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found || len(line) > maxLine || len(file)-len(after) > maxHead {
			return nil, nil, malformed("the head does not end, or has a line of more than %d bytes", maxLine)
		}
		if rest = after; len(line) == 0 {
			break
		}
		key, value, _ := strings.Cut(string(line), " ")
		if key == "size" {
			if size, err = strconv.ParseInt(value, 10, 64); err != nil || size < 0 {
				return nil, nil, malformed("the size %.40q is no number", value)
			}
			continue
		}
		if err := s.set(key, value); err != nil {
			return nil, nil, err
		}
	}
	if int64(len(rest)) != size {
		return nil, nil, malformed("the content has %d bytes, and the head says %d", len(rest), size)
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	return s, rest, nil
}

// set takes one line of the head.
func (s *Submission) set(key, value string) error {
	switch key {
	case "from":
		s.From = new(mail.ReversePath)
		if value == "" {
			return nil
		}
		a, err := parseAddress(value)
		s.From.Address = a
		return err
	case "to":
		return s.addRecipient(value)
	case "name":
		s.Name = value
	case "body":
		if s.Body = mail.BodyType(value); s.Body != mail.Body7Bit && s.Body != mail.Body8Bit {
			return malformed("there is no body type %.40q", value)
		}
	case "ret":
		if s.Ret = mail.Ret(value); s.Ret != mail.RetFull && s.Ret != mail.RetHdrs {
			return malformed("%.40q is not FULL or HDRS", value)
		}
	case "envid":
		s.EnvID = value
	case "smtputf8":
		s.SMTPUTF8 = true
	default:
		return malformed("nothing is known of %.40q", key)
	}
	return nil
}

func (s *Submission) addRecipient(value string) error {
	number, text, _ := strings.Cut(value, " ")
	notify, err := strconv.ParseUint(number, 10, 8)
	if err != nil || notify >= 1<<4 {
		return malformed("%.40q is not a set of conditions to notify of", number)
	}
	if len(s.Recipients) == MaxRecipients {
		return malformed("more than %d recipients", MaxRecipients)
	}
	a, err := parseAddress(text)
	s.Recipients = append(s.Recipients, mail.Recipient{Address: a, Notify: mail.Notify(notify)})
	return err
}

func parseAddress(text string) (mail.Address, error) {
	a, err := ParseAddress(text)
	if err != nil {
		return a, malformed("%.100q is no address: %s", text, mail.StatusOf(err).Text)
	}
	return a, nil
}

// isFormat tells whether err is about the file, so that trying again does not help.
func isFormat(err error) bool {
	var f *FormatError
	return errors.As(err, &f)
}
