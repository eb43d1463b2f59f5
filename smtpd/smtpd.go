// Package smtpd is the server side of SMTP and LMTP: one session machine in three modes.
//
// A [Server] in mode [MX] takes mail from other hosts (RFC 5321), in mode [Submission] from our own
// users after they proved who they are (RFC 6409), in mode [LMTP] from a queue that wants an answer
// for each recipient (RFC 2033). It speaks the protocol and enforces its limits; who may send to whom
// is asked of [Senders] and [Recipients] inside the session, and the [Acceptor] takes over the
// message. What a server answers with 250, its Acceptor has made durable before.
//
// Only CRLF.CRLF ends DATA, so that nobody can smuggle a second message past a server that reads the
// same bytes differently; content with a bare CR or LF is refused after its true end. Nothing sent
// ahead of a TLS handshake is read after it. Every reply to one pipelined batch leaves in one write.
//
// Content up to 256 KiB lies in memory, of which all sessions together take a bounded share; more goes
// to an unlinked file in the spool directory and is handed on mapped. It is not looked into here:
// Received lines, loop detection and grooming belong to packages inbound and submit.
//
// Extensions: PIPELINING, SIZE, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, CHUNKING, BINARYMIME, DSN,
// STARTTLS, AUTH, LIMITS (RFC 9422), MT-PRIORITY (RFC 6710), DELIVERBY (RFC 2852), REQUIRETLS under TLS
// (RFC 8689), FUTURERELEASE in submission (RFC 4865), ETRN where it is configured (RFC 1985), and for
// listed hosts XCLIENT as Postfix has it.
package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/mail"
	"posthaste/trace"
)

// A Mode is the role a server plays.
type Mode int

// The modes.
const (
	MX         Mode = iota // mail from anywhere, for recipients we answer for
	Submission             // mail from users who logged in, for anybody
	LMTP                   // mail from a trusted queue, one reply per recipient
)

// String returns the service name of the configuration.
func (m Mode) String() string { return [...]string{"mx", "submission", "lmtp"}[m] }

// A Session is what policy may know about a client. But for State it does not change while policy is
// asked.
type Session struct {
	ID       string        // of the session, for log and trace
	Mode     Mode          // of the server
	Origin   mail.Origin   // as it will stand in the envelope
	Identity auth.Identity // who logged in; Account is 0 for nobody
	Trusted  bool          // the client's address is one of Config.Trusted

	// EarlyTalker says that the client spoke before it was greeted: see Config.GreetDelay.
	EarlyTalker bool
	// State is for policy to keep what belongs to the session. It is closed with the session if it is
	// an io.Closer, and when XCLIENT names another client.
	State any

	// Fates are those of the recipients taken so far, in their order.
	Fates []Fate
}

// A Fate is what policy decided about a recipient that it takes, for the [Acceptor]. The zero Fate is
// ordinary delivery.
type Fate struct {
	Hold    string       // why the message is to wait for an operator; empty: it is not
	Discard string       // why it is to be dropped; empty: it is not
	Answer  *mail.Status // a 2xx to give in the place of 250 2.1.5: 251 for who has moved
}

// Senders decides who may be a message's reverse-path.
type Senders interface {
	// CheckSender is asked at MAIL; env has everything that the command said. The error is the
	// reply: a *mail.Status, or else temporary.
	CheckSender(ctx context.Context, s *Session, env mail.Envelope) error
}

// Recipients decides whom a client may send to. An MX server without it refuses everybody, so that no
// mistake makes an open relay.
type Recipients interface {
	// CheckRecipient is asked at RCPT; env holds the recipients taken so far, which it does not
	// change. The error is the reply: a *mail.Status, or else temporary.
	CheckRecipient(ctx context.Context, s *Session, env mail.Envelope, rcpt mail.Recipient) (Fate, error)
}

// A Doorkeeper decides about clients before they speak of mail. Whoever can is better judged at RCPT,
// where the log learns whom the mail was for.
type Doorkeeper interface {
	// CheckClient is asked before the greeting, and again after XCLIENT. An error ends the session.
	CheckClient(ctx context.Context, s *Session) error
	// CheckHelo is asked at EHLO and its like. The error is the reply.
	CheckHelo(ctx context.Context, s *Session) error
}

// A Verifier answers VRFY (RFC 5321 section 3.5) for clients that are trusted or logged in.
type Verifier interface {
	// Verify returns address in full, or a *mail.Status that is the reply: 252, 550, 551.
	Verify(ctx context.Context, s *Session, address mail.Address) (mail.Address, error)
}

// A Flusher has mail that waits for a domain tried now (ETRN, RFC 1985).
type Flusher interface {
	// Flush starts it, with below also for all names below domain, and returns how many messages
	// there are, -1 if that is not known. The error is the reply; 459 is for who may not.
	Flush(ctx context.Context, s *Session, domain string, below bool) (messages int, err error)
}

// Logins finds who a login is that a host of Config.XClients vouches for.
type Logins interface {
	Identify(ctx context.Context, login string) (auth.Identity, error)
}

// An Acceptor takes over responsibility for messages (RFC 5321 section 6.1).
type Acceptor interface {
	// Accept makes env and content durable, or whatever it decides, and returns the queue ID it
	// chose. env.ID is empty. On error nothing is kept and the client is told so: a *mail.Status is
	// the reply, any other error a 451.
	//
	// outcomes, used in LMTP only, holds the answer for each of env.Recipients, nil for taken; a
	// nil slice means that all are. Content is closed after Accept returns.
	Accept(ctx context.Context, s *Session, env mail.Envelope, content mail.Content) (id mail.QueueID, outcomes []error, err error)
}

// Config says what a Server is. Zero limits mean the defaults below.
type Config struct {
	Mode     Mode
	Hostname string // our name in greeting and EHLO
	Domain   string // completes <postmaster>, which comes without a domain (RFC 5321 section 4.5.1)

	TLS           *tls.Config  // nil: no TLS
	ImplicitTLS   bool         // TLS from the first byte (RFC 8314); needs TLS
	Auth          sasl.Backend // nil: no AUTH; offered in mode Submission only
	PlaintextAuth bool         // passwords without TLS, for labs

	Bans     *ban.Bans // shared by all servers, with Exempt; nil: made
	Visitors *Visitors // shared by servers whose clients are counted together; nil: made
	Rates    Rates     // of strangers, in mode MX

	// GreetDelay is how long a stranger whose network is unknown waits for the end of the greeting, in
	// mode MX; 0: not at all.
	GreetDelay  time.Duration
	EarlyTalk   EarlyTalk     // what becomes of who speaks meanwhile
	Tarpit      time.Duration // by which each reply to a stranger's misdeed is put off, in mode MX; 0: not
	TarpitAfter int           // misdeeds of a session that are answered at once

	Door       Doorkeeper // nil: all may come in
	Senders    Senders    // nil: any
	Recipients Recipients // nil: any; in mode MX none
	Acceptor   Acceptor
	Verify     Verifier // nil: VRFY tells nobody anything
	Flush      Flusher  // nil: no ETRN
	Logins     Logins   // nil: no LOGIN in XCLIENT; of use in mode Submission only

	SpoolDir string // for content over 256 KiB
	BareLF   BareLF // what to do about bare CR and LF in DATA

	MaxSize       int64 // bytes of content
	MaxRecipients int   // of one message
	MaxMessages   int   // MAIL commands of one session; 0: any number
	MaxSessions   int   // at once
	MaxPerIP      int   // sessions at once from one IPv4 address or IPv6 /64
	MaxMemory     int64 // bytes of content in memory, all sessions together

	MaxHold      time.Duration // how far ahead FUTURERELEASE may ask
	MinDeliverBy time.Duration // least time that BY with return may give us; 0: any, announced as no minimum

	Clients  []netip.Prefix // who may connect; empty: anybody
	Proxies  []netip.Prefix // who must begin with a PROXY header and is believed
	Exempt   []netip.Prefix // no MaxPerIP
	Trusted  []netip.Prefix // whose messages may ask for priority, and who may ask VRFY
	XClients []netip.Prefix // who may use XCLIENT to speak for others

	DrainTime time.Duration // how long sessions may take to finish once Serve's context ends

	Trace trace.Recorder
	Log   *slog.Logger
}

// Defaults of a Config.
const (
	DefaultMaxSize       = 50 << 20
	DefaultMaxRecipients = 1000
	DefaultMaxSessions   = 2000
	DefaultMaxPerIP      = 50
	DefaultMaxMemory     = 64 << 20
	DefaultDrainTime     = 20 * time.Second
	DefaultMaxHold       = 30 * 24 * time.Hour
)

// BareLF is what happens to DATA that holds a CR or LF that is not part of a CRLF.
type BareLF string

// The choices. In both, only CRLF.CRLF ends the message.
const (
	BareLFReject BareLF = "reject" // the default: 5xx after the end of the message
	BareLFAccept BareLF = "accept" // each becomes CRLF
)

func (c *Config) setDefaults() {
	setDefault(&c.MaxSize, DefaultMaxSize)
	setDefault(&c.MaxRecipients, DefaultMaxRecipients)
	setDefault(&c.MaxSessions, DefaultMaxSessions)
	setDefault(&c.MaxPerIP, DefaultMaxPerIP)
	setDefault(&c.MaxMemory, DefaultMaxMemory)
	setDefault(&c.DrainTime, DefaultDrainTime)
	setDefault(&c.MaxHold, DefaultMaxHold)
	setDefault(&c.BareLF, BareLFReject)
	setDefault(&c.EarlyTalk, EarlyTalkNote)
	if c.Visitors == nil {
		c.Visitors = new(Visitors)
	}
	setDefault(&c.Trace, trace.Discard)
	if c.Bans == nil {
		c.Bans = ban.New(ban.Config{Exempt: c.Exempt})
	}
	if c.Mode == MX && c.Recipients == nil {
		c.Recipients = nobody{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// nobody is a policy that takes no recipient.
type nobody struct{}

func (nobody) CheckRecipient(context.Context, *Session, mail.Envelope, mail.Recipient) (Fate, error) {
	return Fate{}, mail.NewStatus(550, "5.7.1", "this server takes no mail")
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
