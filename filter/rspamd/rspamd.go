// Package rspamd asks an rspamd for its opinion of a message, by HTTP (/checkv2), and teaches it.
//
// A [Client] is a filter.Engine. Each symbol becomes a finding. What rspamd concludes either adds its
// points to ours or, with Config.Follow, becomes the action it asks for. Headers that it wants added or
// removed come back as edits; its DKIM signatures do not: we sign ourselves. Answers are bounded, and
// one that cannot be read is an error, not an opinion.
package rspamd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posthaste/filter"
	"posthaste/mail"
)

// Bounds.
const (
	maxAnswer      = 4 << 20 // bytes of an answer
	maxSymbols     = 500
	maxFields      = 100 // changes of the header
	maxEvidence    = 200 // bytes of a symbol's options
	maxConnections = 32  // kept open when idle
	idleTime       = time.Minute
)

// A Config names an rspamd.
type Config struct {
	Name     string            // for log, trace and findings; empty: "rspamd"
	URL      string            // of the normal worker: "http://127.0.0.1:11333"
	Password string            // of the controller, or empty
	Settings string            // ID of settings in rspamd's configuration to judge by, or empty
	Follow   bool              // do as rspamd says; else its points are added to ours
	Scale    float64           // points of ours for each of rspamd's, without Follow; 0: 1
	HTTP     http.RoundTripper // nil: connections of our own
}

// A Client asks one rspamd. Its methods may be called at the same time. Close it.
type Client struct {
	cfg    Config
	base   *url.URL
	client http.Client
}

// New returns a Client. It connects to nobody yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("rspamd: %q is no address of an rspamd: want http://host:11333", cfg.URL)
	}
	cfg.Name, cfg.Scale = cmp.Or(cfg.Name, "rspamd"), cmp.Or(cfg.Scale, 1)
	if cfg.HTTP == nil {
		// No proxy of the environment: this is a neighbour.
		cfg.HTTP = &http.Transport{MaxIdleConns: maxConnections, MaxIdleConnsPerHost: maxConnections, IdleConnTimeout: idleTime}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, base: base, client: http.Client{Transport: cfg.HTTP, CheckRedirect: stay}}, nil
}

// Name is that of the configuration.
func (c *Client) Name() string { return c.cfg.Name }

// Close ends connections that are kept for later.
func (c *Client) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// Scan asks rspamd about m.
func (c *Client) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	body, err := c.post(ctx, "checkv2", headers(m, c.cfg.Settings), m.Content)
	if err != nil {
		return filter.Result{}, err
	}
	a, err := parse(body)
	if err != nil {
		return filter.Result{}, err
	}
	return c.result(a, m.Message.Header), nil
}

// Learn teaches content as spam or as ham. URL must be that of the controller (port 11334). Content that
// it knows already is no error.
func (c *Client) Learn(ctx context.Context, content []byte, spam bool) error {
	path := "learnham"
	if spam {
		path = "learnspam"
	}
	_, err := c.post(ctx, path, http.Header{}, content)
	return err
}

// headers says how the message came.
func headers(m *filter.Mail, settings string) http.Header {
	env, o := m.Envelope, m.Envelope.Origin
	h := http.Header{}
	set := func(name, value string) {
		if value != "" {
			h.Add(name, clean(value))
		}
	}
	ip := o.IP.Unmap().WithZone("")
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	set("IP", ip.String())
	set("Helo", o.Helo)
	set("Hostname", o.Name)
	set("From", "<"+env.From.String()+">")
	for _, r := range env.Recipients {
		set("Rcpt", r.Address.String())
	}
	if len(env.Recipients) == 1 {
		set("Deliver-To", env.Recipients[0].Address.String())
	}
	set("User", o.Login)
	set("Queue-Id", string(env.ID))
	set("MTA-Name", m.Hostname)
	set("Settings-ID", settings)
	if words := strings.Fields(o.TLS); len(words) > 2 {
		set("TLS-Version", words[0]+"v"+words[1])
		set("TLS-Cipher", words[len(words)-1])
	}
	return h
}

// clean returns s with everything that a header of HTTP may not hold left out.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return -1
		}
		return r
	}, s)
}

// errTooLong is the answer to an answer over its bound.
var errTooLong = errors.New("rspamd: the answer is too long")

// post sends content and returns the body of the answer. Asking twice does no harm, so that a request may
// be repeated when a connection kept open turns out to be dead.
func (c *Client) post(ctx context.Context, path string, h http.Header, content []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("rspamd: %w", err)
	}
	r.Header = h
	r.Header["Idempotency-Key"] = nil // net/http then repeats, and does not send it
	if c.cfg.Password != "" {
		r.Header.Set("Password", c.cfg.Password)
	}
	response, err := c.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("rspamd: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("rspamd: read the answer: %w", err)
	case len(body) > maxAnswer:
		return nil, errTooLong
	case path != "checkv2" && response.StatusCode == http.StatusAlreadyReported: // learned before
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("rspamd: answered %d: %s", response.StatusCode, clean(string(body[:min(len(body), maxEvidence)])))
	}
	return body, nil
}

// An answer is what rspamd says, as far as we use it.
type answer struct {
	Action   string            `json:"action"`
	Score    *float64          `json:"score"`
	Required float64           `json:"required_score"`
	Subject  string            `json:"subject"`
	Skipped  bool              `json:"is_skipped"`
	Symbols  map[string]symbol `json:"symbols"`
	Messages struct {
		SMTP string `json:"smtp_message"`
	} `json:"messages"`
	Milter edits  `json:"milter"`
	Error  string `json:"error"`
}

type symbol struct {
	Score       float64  `json:"score"`
	Description string   `json:"description"`
	Options     []string `json:"options"`
}

// parse reads an answer.
func parse(body []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("rspamd: the answer cannot be read: %w", err)
	}
	switch {
	case a.Error != "":
		return a, fmt.Errorf("rspamd: answered: %s", clean(a.Error[:min(len(a.Error), maxEvidence)]))
	case a.Score == nil || a.Action == "":
		return a, errors.New("rspamd: the answer has no score or no action")
	}
	return a, nil
}

// points prints a score.
func points(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// finding returns what one symbol says.
func (c *Client) finding(name string, s symbol) mail.Finding {
	evidence := clean(strings.Join(s.Options[:min(len(s.Options), maxFields)], ", "))
	if len(evidence) > maxEvidence {
		evidence = strings.ToValidUTF8(evidence[:maxEvidence], "") + "…"
	}
	f := mail.Finding{Rule: "RSPAMD_" + clean(name), Evidence: evidence, Meaning: clean(s.Description)}
	if c.cfg.Follow {
		f.Evidence = strings.TrimSuffix(points(s.Score)+" points: "+evidence, ": ")
		return f
	}
	f.Weight = s.Score * c.cfg.Scale
	return f
}
