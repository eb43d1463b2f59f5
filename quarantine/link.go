package quarantine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posthaste/mail"
)

// An action is what a link asks for.
type action string

// The actions, as they stand in the path of links.
const (
	actRelease action = "release"
	actTrust   action = "trust" // release, and trust the author
	actDelete  action = "delete"
)

// A link lets whoever has it do one thing with one message for one owner, until a time. Nobody can make
// one without the secret.
type link struct {
	action action
	id     ID
	owner  string
	until  int64 // Unix seconds
}

var (
	errLink    = errors.New("quarantine: this is no link of ours")
	errExpired = errors.New("quarantine: the link has expired")
)

// Bounds of what comes in a link, in bytes.
const (
	maxOwner     = 400
	signatureLen = 18 // bytes of the HMAC: 144 bits, 24 characters without padding
)

// sign returns what proves that we made l.
func (l *link) sign(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "posthaste quarantine link 1\n%s\n%s\n%d\n%s", l.action, l.id, l.until, l.owner)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:signatureLen])
}

// url returns l below base.
func (l *link) url(base string, secret []byte) string {
	q := url.Values{"for": {l.owner}, "until": {strconv.FormatInt(l.until, 10)}, "key": {l.sign(secret)}}
	return base + Path + string(l.action) + "/" + string(l.id) + "?" + q.Encode()
}

// parseLink reads the path below Path and the query of a link. It returns errLink for what we did not
// make, and errExpired with the link for what has had its time.
func parseLink(path string, query url.Values, secret []byte, now time.Time) (link, error) {
	verb, id, _ := strings.Cut(path, "/")
	l := link{action: action(verb), owner: query.Get("for")}
	switch l.action {
	case actRelease, actTrust, actDelete:
	default:
		return link{}, errLink
	}
	known, err := mail.ParseQueueID(id)
	until, err2 := strconv.ParseInt(query.Get("until"), 10, 64)
	if err != nil || err2 != nil || len(l.owner) > maxOwner {
		return link{}, errLink
	}
	l.id, l.until = known, until
	if !hmac.Equal([]byte(query.Get("key")), []byte(l.sign(secret))) {
		return link{}, errLink
	}
	if now.Unix() > until {
		return l, errExpired
	}
	return l, nil
}

// secret returns the key of links, or nil where there is none.
func (q *Quarantine) secret(ctx context.Context) ([]byte, error) {
	if q.cfg.Secret == nil {
		return nil, nil
	}
	return q.cfg.Secret(ctx)
}
