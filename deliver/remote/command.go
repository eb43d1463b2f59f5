package remote

import (
	"fmt"
	"strings"

	"posthaste/mail"
)

// mailLine returns the MAIL command with the parameters that the host knows.
func mailLine(env mail.Envelope, send transfer, ext extensions) string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + env.From.String() + ">")
	if ext.size {
		fmt.Fprintf(&b, " SIZE=%d", len(send.bytes))
	}
	if send.body != "" {
		b.WriteString(" BODY=" + string(send.body))
	}
	if send.utf8 {
		b.WriteString(" SMTPUTF8")
	}
	if env.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	if ext.dsn && env.Ret != "" {
		b.WriteString(" RET=" + string(env.Ret))
	}
	if ext.dsn && env.EnvID != "" {
		b.WriteString(" ENVID=" + xtext(env.EnvID))
	}
	return b.String()
}

// rcptLine returns the RCPT command with the DSN parameters as the sender gave them
// (RFC 3461 section 5.2.1).
func rcptLine(r mail.Recipient, ext extensions) string {
	line := "RCPT TO:<" + r.Address.String() + ">"
	if !ext.dsn {
		return line
	}
	if r.Notify != 0 {
		line += " NOTIFY=" + notify(r.Notify)
	}
	if kind, address, ok := strings.Cut(r.ORcpt, ";"); ok {
		line += " ORCPT=" + xtext(kind) + ";" + xtext(address)
	}
	return line
}

func notify(n mail.Notify) string {
	if n&mail.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		condition mail.Notify
		word      string
	}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.condition != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// xtext encodes a value so that it can stand in a parameter (RFC 3461 section 4).
func xtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
