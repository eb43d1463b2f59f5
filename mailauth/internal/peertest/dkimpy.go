// Package peertest runs what others have for DKIM and ARC, for tests that compare: dkimpy (Debian
// python3-dkim) and opendkim. Where one is missing the test skips, loudly, or fails with
// POSTHASTE_REQUIRE_PEERS=1.
package peertest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Job is one message for dkimpy.
type Job struct {
	Do      string            `json:"do"` // "verify", "sign", "arcverify" or "arcsign"
	Content []byte            `json:"content"`
	Records map[string]string `json:"records,omitempty"`

	// For signing.
	Domain    string   `json:"domain,omitempty"`
	Selector  string   `json:"selector,omitempty"`
	Key       string   `json:"key,omitempty"`       // PEM, or the seed of an Ed25519 key in base64
	Algorithm string   `json:"algorithm,omitempty"` // "rsa-sha256"
	Canon     []string `json:"canon,omitempty"`     // of header and body
	AuthServ  string   `json:"authserv,omitempty"`
}

// An Answer is what dkimpy made of a Job.
type Answer struct {
	Passes []bool `json:"passes"` // of each signature
	CV     string `json:"cv"`     // of the chain
	Fields []byte `json:"fields"` // that it made
	Error  string `json:"error"`
}

const script = `
import base64, json, sys
import dkim

def encode(b): return base64.b64encode(b).decode()

def run(job):
    content = base64.b64decode(job["content"])
    records = job.get("records") or {}
    def names(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        text = records.get(name.rstrip(".").lower())
        return text.encode() if text is not None else None
    do = job["do"]
    if do == "verify":
        d = dkim.DKIM(content)
        n = len([h for h, _ in d.headers if h.lower() == b"dkim-signature"])
        passes = []
        for i in range(n):
            try:
                passes.append(bool(dkim.DKIM(content).verify(idx=i, dnsfunc=names)))
            except Exception:
                passes.append(False)
        return {"passes": passes}
    if do == "arcverify":
        cv, _, reason = dkim.ARC(content).verify(dnsfunc=names)
        return {"cv": cv.decode(), "error": str(reason)}
    key = job["key"].encode()
    if do == "sign":
        canon = tuple(c.encode() for c in job["canon"])
        return {"fields": encode(dkim.sign(content, job["selector"].encode(), job["domain"].encode(), key,
            canonicalize=canon, signature_algorithm=job["algorithm"].encode()))}
    fields = dkim.ARC(content).sign(job["selector"].encode(), job["domain"].encode(), key, job["authserv"].encode())
    return {"fields": encode(b"".join(fields))}

for line in sys.stdin:
    try:
        answer = run(json.loads(line))
    except Exception as e:
        answer = {"error": repr(e)}
    print(json.dumps(answer), flush=True)
`

// Dkimpy lets dkimpy do jobs and returns its answers in their order.
func Dkimpy(t *testing.T, jobs []Job) []Answer {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has Debian's modules
	if exec.Command(python, "-c", "import dkim").Run() != nil {
		missing(t, "dkimpy", "python3-dkim python3-nacl")
	}
	var in bytes.Buffer
	for lines := json.NewEncoder(&in); len(jobs) > 0; jobs = jobs[1:] {
		if err := lines.Encode(jobs[0]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", script)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dkimpy: %v", err)
	}
	var answers []Answer
	for line := range bytes.Lines(out) {
		var a Answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("dkimpy says %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers
}

func missing(t *testing.T, what, packages string) {
	t.Helper()
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is missing: apt-get install %s", what, packages)
	}
	t.Skipf("SKIPPED PEER: %s is missing: apt-get install %s", what, packages)
}

// peersDir is where scripts/install-peers.sh unpacks programs that are not installed.
func peersDir() string {
	if dir := os.Getenv("POSTHASTE_PEERS"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "posthaste", "peers")
}

// Opendkim returns the path of opendkim.
func Opendkim(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/opendkim", filepath.Join(peersDir(), "opendkim/usr/sbin/opendkim")} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	missing(t, "opendkim", "opendkim, or run scripts/install-peers.sh")
	return ""
}

// WriteKeys writes records in the form that opendkim's TestPublicKeys has and returns the path.
func WriteKeys(t *testing.T, records map[string]string) string {
	t.Helper()
	var text strings.Builder
	for name, record := range records {
		text.WriteString(name + " " + record + "\n")
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
