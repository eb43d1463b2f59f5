package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Bounds of a fetch.
const (
	fetchTimeout = 30 * time.Second // all of it; RFC 8461 section 3.3 suggests a minute
	maxHeader    = 16 << 10
	maxPolicyIPs = 4 // addresses of a policy host that are tried
)

// newClient returns the HTTPS client: no redirects, no proxy, no cookies, no connection kept, names looked
// up by our own resolver.
func newClient(cfg Config) *http.Client {
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &http.Client{
		Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // RFC 8461 section 3.3: 3xx must not be followed
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				answer, err := cfg.Resolver.Host(ctx, host)
				if err != nil {
					return nil, err
				}
				return dialAny(ctx, dial, answer.Records, port)
			},
			TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			TLSHandshakeTimeout:    fetchTimeout,
			ResponseHeaderTimeout:  fetchTimeout,
		},
	}
}

func dialAny(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addrs []netip.Addr, port string) (net.Conn, error) {
	var first error
	for _, ip := range addrs[:min(len(addrs), maxPolicyIPs)] {
		one, cancel := context.WithTimeout(ctx, fetchTimeout/maxPolicyIPs)
		conn, err := dial(one, "tcp", net.JoinHostPort(ip.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// fetch gets and reads the policy of domain (RFC 8461 section 3.3).
func (c *Cache) fetch(ctx context.Context, domain, id string) (Policy, *Failure) {
	body, err := c.get(ctx, "https://mta-sts."+domain+"/.well-known/mta-sts.txt")
	if err != nil {
		return Policy{}, &Failure{fetchResult(err), fmt.Sprintf("the MTA-STS policy of %s cannot be fetched: %s", domain, plain(err.Error()))}
	}
	p, err := Parse(body)
	if err != nil {
		return Policy{}, &Failure{"sts-policy-invalid", fmt.Sprintf("the MTA-STS policy of %s is not valid: %v", domain, err)}
	}
	p.Domain, p.ID, p.Fetched = domain, id, time.Now().UTC()
	return p, nil
}

func (c *Cache) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the web server answers %d, not 200", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return nil, fmt.Errorf("the web server says it is %.60q, not text/plain", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicy+1))
	if err == nil && len(body) > maxPolicy {
		err = fmt.Errorf("it is longer than %d bytes", maxPolicy)
	}
	return body, err
}

// fetchResult tells a bad certificate of the policy host from other failures (RFC 8460 section 4.3.2.2).
func fetchResult(err error) string {
	var verification *tls.CertificateVerificationError
	var host x509.HostnameError
	if errors.As(err, &verification) || errors.As(err, &host) {
		return "sts-webpki-invalid"
	}
	return "sts-policy-fetch-error"
}
