package queue

import (
	"strconv"
	"time"
	"unicode/utf8"

	"posthaste/mail"
)

// MarshalJSON prints e as the admin commands show it.
func (e *Entry) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// AppendJSON appends the JSON of e to b: a list of a long queue spends its time here.
func (e *Entry) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), string(e.ID))
	b = appendText(append(b, `,"state":`...), string(e.State()))
	b = appendText(append(b, `,"sender":`...), e.Envelope.From.String())
	b = strconv.AppendInt(append(b, `,"size":`...), e.Size, 10)
	b = appendMoment(append(b, `,"created":`...), e.Created())
	if next := e.Next(); !next.IsZero() {
		b = appendMoment(append(b, `,"next":`...), next)
	}
	if e.Envelope.Priority != 0 {
		b = strconv.AppendInt(append(b, `,"priority":`...), int64(e.Envelope.Priority), 10)
	}
	b = append(b, `,"recipients":[`...)
	for i := range e.Recipients {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.Recipients[i].appendJSON(b)
	}
	b = append(b, ']')
	if e.corrupt != "" {
		b = appendText(append(b, `,"reason":`...), e.corrupt)
	}
	return append(b, '}')
}

func (r *Recipient) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"address":`...), r.Address.String())
	b = appendText(append(b, `,"state":`...), string(r.State))
	if s := r.Status; s != nil {
		b = appendText(append(b, `,"status":`...), codes(s))
		text := s.Text
		if s.Peer != "" {
			text = s.Peer + " said: " + text
		}
		b = appendText(append(b, `,"reason":`...), text)
	}
	if r.Attempts > 0 {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(r.Attempts), 10)
	}
	if r.State.schedulable() {
		b = appendMoment(append(b, `,"next":`...), r.Next)
	}
	if r.Reroute != "" {
		b = appendText(append(b, `,"reroute":`...), r.Reroute)
	}
	return append(b, '}')
}

func appendMoment(b []byte, t time.Time) []byte {
	b = t.AppendFormat(append(b, '"'), time.RFC3339Nano)
	return append(b, '"')
}

// appendText appends s as a JSON string (RFC 8259 section 7); what is not UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, r)
		i += n
	}
	return append(b, '"')
}

// codes returns "450 4.2.0", or "450" when the peer gave no enhanced code.
func codes(s *mail.Status) string {
	if s.Enhanced == "" {
		return strconv.Itoa(s.Code)
	}
	return strconv.Itoa(s.Code) + " " + s.Enhanced
}
