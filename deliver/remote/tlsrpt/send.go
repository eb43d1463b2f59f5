package tlsrpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"posthaste/dns"
	"posthaste/kv"
	"posthaste/mail"
)

// maxURIs is how many addresses of one domain get its report.
const maxURIs = 5

// send sends the reports of past days whose time has come, and drops days that are too old.
func (c *Collector) send(ctx context.Context, now time.Time) error {
	var days []string
	err := c.cfg.Store.Partitions(ctx, "tlsrpt/out/", func(p kv.Partition) error {
		days = append(days, strings.TrimPrefix(string(p), "tlsrpt/out/"))
		return nil
	})
	if err != nil {
		return err
	}
	for _, day := range days {
		start, err := time.Parse(dayLayout, day)
		if err != nil {
			continue
		}
		end := start.Add(24 * time.Hour)
		switch {
		case now.Sub(end) > keepUnsent:
			err = c.cfg.Store.Drop(ctx, partition(day))
		case now.After(end):
			err = c.sendDay(ctx, day, end, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Collector) sendDay(ctx context.Context, day string, end, now time.Time) error {
	domains, err := c.due(ctx, day, end, now)
	if err != nil {
		return err
	}
	for _, domain := range domains {
		if ctx.Err() != nil {
			return nil
		}
		if err := c.sendOne(ctx, day, domain, now); err != nil {
			c.cfg.Log.Warn("TLS report not sent", "domain", domain, "reason", err)
		}
	}
	return nil
}

// due lists the domains of a day whose report is to be sent now: each at its own time, so that not all
// reports of all senders reach a domain at midnight.
func (c *Collector) due(ctx context.Context, day string, end, now time.Time) ([]string, error) {
	var domains []string
	err := c.cfg.Store.View(ctx, partition(day), func(r kv.Reader) error {
		domains = domains[:0]
		prefix := sumsKey("")
		seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
		for key := range seq {
			domain := string(key[len(prefix):])
			if !now.Before(end.Add(c.delay(domain))) {
				domains = append(domains, domain)
			}
		}
		return errf()
	})
	return domains, err
}

func (c *Collector) delay(domain string) time.Duration {
	h := fnv.New64a()
	io.WriteString(h, c.cfg.Hostname+" "+domain)
	return time.Duration(h.Sum64() % uint64(spread))
}

// sendOne claims, sends and closes one report. A crash in between leads to a second copy with the same
// report ID after the claim has ended.
func (c *Collector) sendOne(ctx context.Context, day, domain string, now time.Time) error {
	var mine row
	won := false
	err := c.change(ctx, day, domain, func(r *row) {
		won = !r.Done && now.Sub(r.Claimed) >= claim
		if won {
			r.Claimed = now
		}
		mine = *r
	})
	if err != nil || !won {
		return err
	}
	uris, err := c.wanted(ctx, domain)
	if err != nil {
		return err
	}
	if len(uris) > 0 {
		if err := c.deliver(ctx, c.report(day, domain, mine.Policies), domain, uris); err != nil {
			return err
		}
	}
	return c.change(ctx, day, domain, func(r *row) { *r = row{Done: true, Claimed: now} })
}

func (c *Collector) change(ctx context.Context, day, domain string, fn func(*row)) error {
	_, err := c.cfg.Store.Update(ctx, partition(day), func(tx kv.Txn) error {
		r, err := readRow(tx, domain)
		if err != nil {
			return err
		}
		fn(&r)
		return r.write(tx, domain)
	})
	return err
}

// wanted asks where a domain wants its reports (RFC 8460 section 3).
func (c *Collector) wanted(ctx context.Context, domain string) ([]*url.URL, error) {
	answer, err := c.cfg.Resolver.TXT(ctx, "_smtp._tls."+domain)
	if errors.Is(err, dns.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(answer.Records), nil
}

// parseRecord returns the mailto: and https: URIs of the TXT records at _smtp._tls. More than one record
// of this version means none.
func parseRecord(records []string) []*url.URL {
	var found []*url.URL
	n := 0
	for _, text := range records {
		parts := strings.Split(text, ";")
		if strings.TrimSpace(parts[0]) != "v=TLSRPTv1" {
			continue
		}
		n++
		for _, part := range parts[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.TrimSpace(name) == "rua" {
				found = append(found, parseURIs(value)...)
			}
		}
	}
	if n != 1 {
		return nil
	}
	return found[:min(len(found), maxURIs)]
}

func parseURIs(list string) []*url.URL {
	var found []*url.URL
	for _, text := range strings.Split(list, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err == nil && (u.Scheme == "mailto" && u.Opaque != "" || u.Scheme == "https" && u.Host != "") {
			found = append(found, u)
		}
	}
	return found
}

// deliver hands a report to every address that its domain names. When one of them took it the report is
// sent: the others are not tried again, so that none gets copies because of another.
func (c *Collector) deliver(ctx context.Context, r Report, domain string, uris []*url.URL) error {
	packed, err := r.pack()
	if err != nil {
		return err
	}
	var problems []error
	for _, u := range uris {
		send := func() error { return c.mail(ctx, u, r, domain, packed) }
		if u.Scheme == "https" {
			send = func() error { return c.post(ctx, u, packed) }
		}
		if err := send(); err != nil {
			c.cfg.Log.Info("TLS report refused", "domain", domain, "to", u.Redacted(), "reason", err)
			problems = append(problems, fmt.Errorf("%s: %w", u.Redacted(), err))
		}
	}
	if len(problems) < len(uris) {
		return nil
	}
	return errors.Join(problems...)
}

// post sends a report by HTTPS (RFC 8460 section 5.4).
func (c *Collector) post(ctx context.Context, u *url.URL, packed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(packed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	resp, err := c.cfg.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the web server answers %d", resp.StatusCode)
	}
	return nil
}

// mail puts a report into the queue. No report comes back about it (NOTIFY=NEVER), and it travels without
// regard to TLS policies, whose failure it may tell of (RFC 8460 section 5.3 and RFC 8689 section 5).
func (c *Collector) mail(ctx context.Context, u *url.URL, r Report, domain string, packed []byte) error {
	to, err := parseMailto(u)
	if err != nil {
		return err
	}
	env := mail.Envelope{
		ID: c.cfg.Queue.NewID(), From: mail.ReversePath{Address: c.cfg.From}, Received: time.Now(), TLSOptional: true,
		Recipients: []mail.Recipient{{Address: to, Notify: mail.NotifyNever}},
	}
	_, err = c.cfg.Queue.Put(ctx, env, mail.Bytes(c.compose(r, domain, to, packed)))
	return err
}
