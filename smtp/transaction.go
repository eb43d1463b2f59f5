package smtp

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"posthaste/mail"
)

// Limits of RFC 3461 sections 4.2 and 4.4, in characters.
const (
	maxEnvID = 100
	maxORcpt = 500
)

// ErrNoDomain is the answer to an address without domain that is not completed.
var ErrNoDomain error = mail.NewStatus(501, "5.1.3", "bad address: want local-part@domain")

// A Mail is the MAIL command: who a message is from and how it will be sent.
type Mail struct {
	From       mail.ReversePath
	Size       int64 // SIZE; 0 when not given
	Body       mail.BodyType
	SMTPUTF8   bool
	RequireTLS bool
	Ret        mail.Ret
	EnvID      string // decoded
	Auth       string // AUTH, RFC 4954 section 5: decoded; "<>" for nobody

	HoldFor     time.Duration // HOLDFOR, whole seconds; 0 when not given (RFC 4865)
	HoldUntil   time.Time     // HOLDUNTIL, in UTC; zero when not given
	By          By            // RFC 2852
	Priority    int8          // MT-PRIORITY, -9 to 9 (RFC 6710)
	HasPriority bool          // it was given; also to print a 0
}

// ParseMail reads the argument of MAIL: "FROM:<...> KEY=VALUE ...". A parameter it does not know is
// a 555. The address may have no Domain, as programs on our own machines leave it out: who does not
// complete it answers [ErrNoDomain].
func ParseMail(arg string) (Mail, error) {
	address, rest, utf8, err := cutTransactionPath(arg, "FROM:")
	if err != nil {
		return Mail{}, err
	}
	m := Mail{From: mail.ReversePath{Address: address}}
	err = eachParameter(rest, m.set)
	if err == nil && utf8 && !m.SMTPUTF8 {
		err = needsUTF8()
	}
	return m, err
}

// String returns the whole command line.
func (m Mail) String() string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + printReverse(m.From) + ">")
	if m.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(m.Size, 10))
	}
	writeParameter(&b, "BODY", string(m.Body))
	if m.SMTPUTF8 {
		b.WriteString(" SMTPUTF8")
	}
	if m.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	writeParameter(&b, "RET", string(m.Ret))
	writeParameter(&b, "ENVID", EncodeXtext(m.EnvID))
	writeParameter(&b, "AUTH", EncodeXtext(m.Auth))
	m.writeTimes(&b)
	return b.String()
}

// writeTimes prints what is about when the message is delivered.
func (m Mail) writeTimes(b *strings.Builder) {
	if m.HoldFor > 0 {
		writeParameter(b, "HOLDFOR", strconv.FormatInt(int64(m.HoldFor/time.Second), 10))
	}
	if !m.HoldUntil.IsZero() {
		writeParameter(b, "HOLDUNTIL", HoldTime(m.HoldUntil))
	}
	writeParameter(b, "BY", m.By.String())
	if m.HasPriority {
		writeParameter(b, "MT-PRIORITY", strconv.Itoa(int(m.Priority)))
	}
}

func (m *Mail) set(key, value string) error {
	switch key {
	case "SIZE":
		n, err := strconv.ParseInt(value, 10, 63)
		if err != nil || value[0] == '+' || value[0] == '-' {
			return badParameter(key)
		}
		m.Size = n
	case "BODY":
		m.Body = mail.BodyType(strings.ToUpper(value))
		if m.Body != mail.Body7Bit && m.Body != mail.Body8Bit && m.Body != mail.BodyBinary {
			return badParameter(key)
		}
	case "SMTPUTF8":
		m.SMTPUTF8 = true
		return wantNoValue(key, value)
	case "REQUIRETLS":
		m.RequireTLS = true
		return wantNoValue(key, value)
	case "RET":
		m.Ret = mail.Ret(strings.ToUpper(value))
		if m.Ret != mail.RetFull && m.Ret != mail.RetHdrs {
			return badParameter(key)
		}
	case "ENVID":
		return setXtext(&m.EnvID, key, value, maxEnvID)
	case "AUTH":
		return setXtext(&m.Auth, key, value, maxORcpt)
	default:
		return m.setTime(key, value)
	}
	return nil
}

// setTime reads the parameters about when the message is delivered.
func (m *Mail) setTime(key, value string) error {
	ok := false
	switch key {
	case "HOLDFOR":
		m.HoldFor, ok = parseHoldFor(value)
	case "HOLDUNTIL":
		m.HoldUntil, ok = parseHoldUntil(value)
	case "BY":
		m.By, ok = parseBy(value)
	case "MT-PRIORITY":
		m.Priority, ok = parsePriority(value)
		m.HasPriority = true
	default:
		return unknownParameter(key)
	}
	if !ok || m.HoldFor > 0 && !m.HoldUntil.IsZero() { // one hold-param only (RFC 4865 section 4.2)
		return badParameter(key)
	}
	return nil
}

// ParseRcpt reads the argument of RCPT: "TO:<...> KEY=VALUE ...". utf8 tells that the address needs
// SMTPUTF8, which the caller knows from MAIL. The address may have no Domain, as in ParseMail; that of
// postmaster is ours (RFC 5321 section 4.5.1).
func ParseRcpt(arg string) (r mail.Recipient, utf8 bool, err error) {
	address, rest, utf8, err := cutTransactionPath(arg, "TO:")
	if err != nil {
		return r, false, err
	}
	if address.IsZero() {
		return r, false, badAddress("the path is empty")
	}
	r.Address = address
	err = eachParameter(rest, func(key, value string) error { return setRcpt(&r, key, value) })
	return r, utf8, err
}

// PrintRcpt returns the command line for r.
func PrintRcpt(r mail.Recipient) string {
	var b strings.Builder
	b.WriteString("RCPT TO:<" + r.Address.String() + ">")
	writeParameter(&b, "NOTIFY", printNotify(r.Notify))
	writeParameter(&b, "ORCPT", printORcpt(r.ORcpt))
	return b.String()
}

func setRcpt(r *mail.Recipient, key, value string) error {
	ok := false
	switch key {
	case "NOTIFY":
		r.Notify, ok = parseNotify(strings.ToUpper(value))
	case "ORCPT":
		r.ORcpt, ok = parseORcpt(value)
	default:
		return unknownParameter(key)
	}
	if !ok {
		return badParameter(key)
	}
	return nil
}

var notifyNames = [...]struct {
	name string
	bit  mail.Notify
}{{"NEVER", mail.NotifyNever}, {"SUCCESS", mail.NotifySuccess}, {"FAILURE", mail.NotifyFailure}, {"DELAY", mail.NotifyDelay}}

func parseNotify(s string) (n mail.Notify, ok bool) {
	for word := range strings.SplitSeq(s, ",") {
		var bit mail.Notify
		for _, known := range notifyNames {
			if word == known.name {
				bit = known.bit
			}
		}
		if bit == 0 {
			return 0, false
		}
		n |= bit
	}
	return n, n&mail.NotifyNever == 0 || n == mail.NotifyNever
}

func printNotify(n mail.Notify) string {
	var words []string
	for _, known := range notifyNames {
		if n&known.bit != 0 {
			words = append(words, known.name)
		}
	}
	return strings.Join(words, ",")
}

// parseORcpt reads "addr-type;xtext" and returns it decoded (RFC 3461 section 4.2, RFC 6533 section 3).
func parseORcpt(s string) (string, bool) {
	kind, address, ok := strings.Cut(s, ";")
	if !ok || len(s) > maxORcpt || !isKeyword(kind) || address == "" {
		return "", false
	}
	kind = strings.ToLower(kind)
	if kind == "utf-8" {
		address, ok = decodeUTF8Addr(address)
		return kind + ";" + address, ok && !hasControl(address)
	}
	address, ok = DecodeXtext(address)
	// Postfix (3.7) sends an international address as "rfc822", its UTF-8 in xtext.
	if kind == "rfc822" && !isASCII(address) && utf8.ValidString(address) {
		kind = "utf-8"
		return kind + ";" + address, ok && !hasControl(address)
	}
	return kind + ";" + address, ok && isPrintable(address)
}

func printORcpt(s string) string {
	kind, address, ok := strings.Cut(s, ";")
	if !ok || address == "" {
		return ""
	}
	if kind == "utf-8" {
		return kind + ";" + encodeUTF8Addr(address)
	}
	return kind + ";" + EncodeXtext(address)
}

func setXtext(dst *string, key, value string, limit int) error {
	text, ok := DecodeXtext(value)
	if !ok || value == "" || len(value) > limit || !isPrintable(text) {
		return badParameter(key)
	}
	*dst = text
	return nil
}

// cutTransactionPath reads "FROM:<path>" or "TO:<path>". White space after the colon is wrong but
// sent by many. utf8 tells that the path was not ASCII in its local-part or domain.
func cutTransactionPath(arg, prefix string) (a mail.Address, rest string, utf8 bool, err error) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return a, "", false, mail.NewStatus(501, "5.5.4", "want "+prefix+"<address>")
	}
	path := strings.TrimLeft(arg[len(prefix):], " ")
	a, rest, err = cutPath(path, true)
	if err != nil {
		return a, "", false, err
	}
	if rest != "" && rest[0] != ' ' {
		return a, "", false, badAddress("text after the path")
	}
	return a, rest, !isASCII(path[:len(path)-len(rest)]), nil
}

func needsUTF8() error {
	return mail.NewStatus(553, "5.6.7", "this address needs the parameter SMTPUTF8")
}

func printReverse(p mail.ReversePath) string {
	if p.Null() {
		return ""
	}
	return p.String()
}
