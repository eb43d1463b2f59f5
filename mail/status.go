package mail

import (
	"errors"
	"fmt"
)

// A Status is an answer to or from a peer: an SMTP reply (RFC 5321 section 4.2) with its enhanced
// code (RFC 3463). As an error it is what an SMTP client is told; a nil *Status never occurs.
type Status struct {
	Code     int    `json:"code"`               // 200 to 599
	Enhanced string `json:"enhanced,omitempty"` // "5.1.1", or empty when the peer gave none
	Text     string `json:"text"`               // for people, without codes; lines joined by "\n"
	Peer     string `json:"peer,omitempty"`     // host that answered; empty when it was us
}

// NewStatus returns a Status of ours. text may hold the verbs of fmt.
func NewStatus(code int, enhanced, text string, args ...any) *Status {
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	return &Status{Code: code, Enhanced: enhanced, Text: text}
}

// Error returns "550 5.1.1 no such user".
func (s *Status) Error() string {
	if s.Enhanced == "" {
		return fmt.Sprintf("%d %s", s.Code, s.Text)
	}
	return fmt.Sprintf("%d %s %s", s.Code, s.Enhanced, s.Text)
}

// OK tells whether s is a 2xx.
func (s *Status) OK() bool { return s.Code/100 == 2 }

// Permanent tells whether s is a 5xx. Whatever is neither OK nor permanent is temporary.
func (s *Status) Permanent() bool { return s.Code/100 == 5 }

// Temporary tells whether a later attempt may succeed.
func (s *Status) Temporary() bool { return !s.OK() && !s.Permanent() }

// StatusOf returns the Status in err's chain. Any other error is temporary, because what we cannot
// prove must not be lost: it becomes a 451 that says no more than that, since the text goes to
// strangers. A nil err is 250.
func StatusOf(err error) *Status {
	var s *Status
	switch {
	case err == nil:
		return &Status{Code: 250, Enhanced: "2.0.0", Text: "OK"}
	case errors.As(err, &s):
		return s
	default:
		return &Status{Code: 451, Enhanced: "4.3.0", Text: "a local error, try again later"}
	}
}
