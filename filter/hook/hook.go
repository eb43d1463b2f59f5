// Package hook asks programs of the site's own about messages, by HTTP and JSON: docs/hooks.md.
//
// A [Client] is a filter.Engine. It posts a [Request] and reads a [Reply], both plain JSON, signed or
// with a token so that the program knows who asks. A reply that cannot be read, is too long, or names an
// unknown action is an error: what the program meant is then not guessed.
package hook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posthaste/filter"
)

// Bounds.
const (
	maxReply       = 1 << 20 // bytes of a reply
	maxFindings    = 100
	maxFields      = 100
	maxText        = 500   // bytes of each text of a reply that people read
	maxValue       = 16384 // bytes of a field to add
	maxScore       = 1000  // points, up or down
	maxHeader      = 1000  // fields of the message that are sent
	maxConnections = 32    // kept open when idle
	idleTime       = time.Minute
)

// Names of our headers.
const (
	signatureHeader = "X-Posthaste-Signature"
	timeHeader      = "X-Posthaste-Timestamp"
)

// A Config names a program.
type Config struct {
	Name       string // for log, trace and findings; empty: the host of URL
	URL        string // http or https
	Token      string // sent as "Authorization: Bearer", or empty
	Secret     string // key of the signature, or empty
	MaxContent int    // bytes up to which the message itself is sent; 0: never
	HTTP       http.RoundTripper
}

// A Client asks one program. Its methods may be called at the same time. Close it.
type Client struct {
	cfg    Config
	client http.Client
}

// New returns a Client. It connects to nobody yet.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("hook: %q is no address of a hook: want https://host/path", cfg.URL)
	}
	if strings.ContainsAny(cfg.Token, "\r\n") {
		return nil, errors.New("hook: the token holds a line break")
	}
	cfg.Name = cmp.Or(cfg.Name, u.Host)
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Transport{MaxIdleConns: maxConnections, MaxIdleConnsPerHost: maxConnections, IdleConnTimeout: idleTime}
	}
	// A redirect would hand mail and token to a host that nobody named.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, client: http.Client{Transport: cfg.HTTP, CheckRedirect: stay}}, nil
}

// Name is that of the configuration.
func (c *Client) Name() string { return c.cfg.Name }

// Close ends connections that are kept for later.
func (c *Client) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// Scan asks the program about m.
func (c *Client) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	body, err := json.Marshal(request(m, c.cfg.MaxContent))
	if err != nil {
		return filter.Result{}, fmt.Errorf("hook: %w", err)
	}
	text, err := c.post(ctx, body, time.Now())
	if err != nil {
		return filter.Result{}, err
	}
	reply, err := parse(text)
	if err != nil {
		return filter.Result{}, err
	}
	return reply.result(c.Name(), m.Message.Header)
}

// post sends a request and returns the body of the reply. Asking twice does no harm, so that a request
// may be repeated when a connection kept open turns out to be dead.
func (c *Client) post(ctx context.Context, body []byte, now time.Time) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("hook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "posthaste")
	r.Header["Idempotency-Key"] = nil // net/http then repeats, and does not send it
	if c.cfg.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if c.cfg.Secret != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		r.Header.Set(timeHeader, stamp)
		r.Header.Set(signatureHeader, "sha256="+sign(c.cfg.Secret, stamp, body))
	}
	response, err := c.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("hook: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("hook: read the reply: %w", err)
	case len(text) > maxReply:
		return nil, fmt.Errorf("hook: the reply has more than %d bytes", maxReply)
	case response.StatusCode == http.StatusNoContent:
		return []byte("{}"), nil
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("hook: answered %d", response.StatusCode)
	}
	return text, nil
}

// sign returns the HMAC-SHA-256 of "<Unix time>.<body>" in hexadecimal.
func sign(secret, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
