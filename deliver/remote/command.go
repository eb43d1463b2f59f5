package remote

import (
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/smtp"
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
	if env.RequireTLS && ext.requireTLS {
		b.WriteString(" REQUIRETLS")
	}
	if ext.priority && env.Priority != 0 {
		fmt.Fprintf(&b, " MT-PRIORITY=%d", env.Priority)
	}
	if ext.deliverBy && env.ByMode != "" {
		b.WriteString(" BY=" + by(env, time.Now()))
	}
	if ext.dsn && env.Ret != "" {
		b.WriteString(" RET=" + string(env.Ret))
	}
	if ext.dsn && env.EnvID != "" {
		b.WriteString(" ENVID=" + smtp.EncodeXtext(env.EnvID))
	}
	return b.String()
}

// by returns the time left until the deadline and what happens then (RFC 2852 section 4.1.1).
func by(env mail.Envelope, now time.Time) string {
	left := int64(env.DeliverBy.Sub(now) / time.Second)
	text := fmt.Sprintf("%d;%s", max(-maxBy, min(left, maxBy)), env.ByMode)
	if env.ByTrace {
		text += "T"
	}
	return text
}

// rcptLine returns the RCPT command with the DSN parameters as the sender gave them
// (RFC 3461 section 5.2.1).
func rcptLine(r mail.Recipient, ext extensions) string {
	if !ext.dsn {
		r = mail.Recipient{Address: r.Address}
	}
	return smtp.PrintRcpt(r)
}
