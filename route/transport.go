package route

import (
	"cmp"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"posthaste/mail"
)

// A Kind is a way to hand mail on.
type Kind string

// The kinds, by their words in the text of a transport.
const (
	Local     Kind = "local"     // to the mailboxes here
	MX        Kind = "mx"        // to the mail exchangers of the recipient's domain, or of Host
	Smarthost Kind = "smarthost" // to the relay Name of the configuration
	SMTP      Kind = "smtp"      // to Host and Port, whatever the DNS says of the domain
	LMTP      Kind = "lmtp"      // the same, or Path, a Unix socket
	Pipe      Kind = "pipe"      // into the program Name of the configuration
	File      Kind = "file"      // to the end of the mbox file Path, or into the Maildir Path when it ends in /
	Discard   Kind = "discard"   // nowhere, as if delivered
	Error     Kind = "error"     // back to the sender, with Status
	Defer     Kind = "defer"     // wait, with Status, until the table says otherwise
	Hold      Kind = "hold"      // wait, with Status, until an operator releases it
)

// A Transport is one way, with what it needs.
type Transport struct {
	Kind   Kind
	Name   string       // of a smarthost or pipe
	Host   string       // name or address; of kind MX: the domain whose exchangers are meant, or empty
	Port   int          // 0: the one that is customary
	Path   string       // absolute: of a Unix socket, mbox file or Maildir
	Status *mail.Status // of kinds Error, Defer and Hold
}

// A Plan is a list of transports in the order of their turn, never empty.
type Plan []Step

// A Step is a transport and the attempt, counted from 1, from which on it is the one.
type Step struct {
	Transport
	From int
}

// Bounds of the text of a plan.
const (
	maxText    = 4096
	maxSteps   = 16
	maxAttempt = 10_000
)

// Parse reads the text of a plan, as it stands in a transport table:
//
//	mx                                   the mail exchangers of the recipient's domain
//	mx:example.net                       those of another domain
//	smarthost:isp                        a [[smarthost]] of the configuration
//	smtp:mail.example.net:2525           one host, by name or address; the port may be left out
//	lmtp:127.0.0.1:24, lmtp:unix:/path   an LMTP server
//	pipe:archive                         a [[pipe]] of the configuration
//	file:/var/mail/all, file:/home/x/    an mbox file, or a Maildir when it ends in /
//	local, discard
//	error:5.1.6 moved to example.net     back to the sender; the enhanced code may be left out
//	defer:until the migration is over    wait; hold: waits for an operator
//	mx, smarthost:isp from 4             in turn: the fourth attempt is the first by smarthost
//
// What follows error:, defer: or hold: is text to the end.
func Parse(text string) (Plan, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("route: a transport of %d bytes: the longest is %d", len(text), maxText)
	}
	var plan Plan
	for rest, more := text, true; more; {
		if len(plan) == maxSteps {
			return nil, fmt.Errorf("route: more than %d transports in %q", maxSteps, text)
		}
		var item string
		item, rest, more = cutStep(rest)
		step, err := parseStep(item)
		if err != nil {
			return nil, fmt.Errorf("route: %w in %q", err, text)
		}
		if len(plan) == 0 {
			step.From = 1
		} else if last := plan[len(plan)-1].From; step.From <= last {
			return nil, fmt.Errorf(`route: %q follows a transport and needs "from N" with an attempt N above %d, in %q`, item, last, text)
		}
		plan = append(plan, step)
	}
	return plan, nil
}

// cutStep returns the first step of text.
func cutStep(text string) (item, rest string, more bool) {
	text = strings.TrimSpace(text)
	for _, kind := range []Kind{Error, Defer, Hold} {
		if strings.HasPrefix(text, string(kind)+":") {
			return text, "", false
		}
	}
	item, rest, more = strings.Cut(text, ",")
	return strings.TrimSpace(item), rest, more
}

func parseStep(item string) (Step, error) {
	kind, argument, _ := strings.Cut(item, ":")
	if k := Kind(kind); k == Error || k == Defer || k == Hold {
		t, err := parseText(k, argument)
		return Step{Transport: t}, err
	}
	words := strings.Fields(item)
	s := Step{}
	switch {
	case len(words) == 3 && words[1] == "from":
		n, err := strconv.Atoi(words[2])
		if err != nil || n < 2 || n > maxAttempt {
			return s, fmt.Errorf(`"from %s" names no attempt from 2 to %d`, words[2], maxAttempt)
		}
		s.From = n
	case len(words) != 1:
		return s, fmt.Errorf("%q is no transport", item)
	}
	kind, argument, _ = strings.Cut(words[0], ":")
	var err error
	s.Transport, err = parseTransport(Kind(kind), argument)
	return s, err
}

// parseTransport reads all kinds but those with a text.
func parseTransport(kind Kind, argument string) (Transport, error) {
	t := Transport{Kind: kind}
	switch kind {
	case Local, Discard:
		if argument != "" {
			return t, fmt.Errorf("%s takes no argument", kind)
		}
		return t, nil
	case MX:
		t.Host = strings.ToLower(argument)
		return t, checkHost(t.Host, argument == "")
	case Smarthost, Pipe:
		t.Name = argument
		if argument == "" {
			return t, fmt.Errorf("%s: lacks the name of one", kind)
		}
		return t, nil
	case SMTP:
		return parseHostPort(t, argument)
	case LMTP:
		if file, ok := strings.CutPrefix(argument, "unix:"); ok {
			return parsePath(t, file)
		}
		return parseHostPort(t, argument)
	case File:
		return parsePath(t, argument)
	}
	return t, fmt.Errorf("%q is no kind of transport: there are local, mx, smarthost, smtp, lmtp, pipe, file, discard, error, defer and hold", kind)
}

func parsePath(t Transport, file string) (Transport, error) {
	if !path.IsAbs(file) {
		return t, fmt.Errorf("%s needs an absolute path, not %q", t.Kind, file)
	}
	if t.Path = path.Clean(file); t.Path == "/" {
		return t, fmt.Errorf("%s needs a file, not /", t.Kind)
	}
	if t.Kind == File && strings.HasSuffix(file, "/") {
		t.Path += "/"
	}
	return t, nil
}

// parseHostPort reads host, host:port, [address] and [address]:port.
func parseHostPort(t Transport, argument string) (Transport, error) {
	host, port := argument, ""
	if i := strings.LastIndexByte(argument, ':'); i > strings.LastIndexByte(argument, ']') && strings.IndexByte(argument, ':') == i || i > 0 && argument[i-1] == ']' {
		host, port = argument[:i], argument[i+1:]
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return t, fmt.Errorf("%q is no port", port)
		}
		t.Port = n
	}
	t.Host = strings.ToLower(strings.Trim(host, "[]"))
	return t, checkHost(t.Host, false)
}

// checkHost refuses what can be neither a name nor an address.
func checkHost(host string, mayLack bool) error {
	if host == "" {
		if mayLack {
			return nil
		}
		return fmt.Errorf("the host is missing")
	}
	if net.ParseIP(host) != nil {
		return nil
	}
	if len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return fmt.Errorf("%q is neither a host name nor an address", host)
	}
	return nil
}

// parseText reads what stands behind error:, defer: and hold: into a Status.
func parseText(kind Kind, argument string) (Transport, error) {
	argument = strings.TrimSpace(argument)
	s := &mail.Status{Code: 451, Enhanced: "4.3.5", Text: "mail for this address has to wait"}
	if kind == Error {
		s = &mail.Status{Code: 550, Enhanced: "5.1.0", Text: "this address takes no mail"}
	}
	code, text, _ := strings.Cut(argument, " ")
	if class, isCode := enhancedClass(code); isCode {
		if want := s.Enhanced[0]; class != want {
			return Transport{}, fmt.Errorf("%s: needs a code that begins with %c, not %s", kind, want, code)
		}
		s.Enhanced, argument = code, text
	}
	s.Text = cmp.Or(strings.TrimSpace(argument), s.Text)
	for _, r := range s.Text {
		if r < ' ' || r == 0x7f {
			return Transport{}, fmt.Errorf("%s: has a control character in its text", kind)
		}
	}
	return Transport{Kind: kind, Status: s}, nil
}

// enhancedClass returns the first digit of an enhanced code such as 5.1.1 (RFC 3463 section 2).
func enhancedClass(code string) (byte, bool) {
	parts := strings.Split(code, ".")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return 0, false
	}
	for _, p := range parts {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return 0, false
		}
	}
	return code[0], true
}

// At returns the transport of an attempt, counted from 1.
func (p Plan) At(attempt int) Transport {
	t := p[0].Transport
	for _, s := range p[1:] {
		if attempt >= s.From {
			t = s.Transport
		}
	}
	return t
}

// String prints p as [Parse] reads it.
func (p Plan) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Transport.String())
		if s.From > 1 {
			fmt.Fprintf(&b, " from %d", s.From)
		}
	}
	return b.String()
}

// String prints t as it stands in a plan.
func (t Transport) String() string {
	argument := t.Name
	switch t.Kind {
	case MX, SMTP, LMTP:
		argument = t.address()
	case File:
		argument = t.Path
	case Error, Defer, Hold:
		argument = t.Status.Enhanced + " " + t.Status.Text
	}
	if argument == "" {
		return string(t.Kind)
	}
	return string(t.Kind) + ":" + argument
}

func (t Transport) address() string {
	switch {
	case t.Path != "":
		return "unix:" + t.Path
	case t.Port != 0:
		return net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	case strings.Contains(t.Host, ":"):
		return "[" + t.Host + "]"
	}
	return t.Host
}
