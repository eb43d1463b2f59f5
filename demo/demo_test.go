package demo

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// step is what scripts read of a line.
type step struct {
	Time *string `json:"t"`
	Node string  `json:"node"`
	Step string  `json:"step"`
	OK   *bool   `json:"ok"`
	Peer *string `json:"peer"`
	Text string  `json:"text"`
}

func TestEveryStoryEndsAsItShould(t *testing.T) {
	if !hasAddress("127.0.0.2") {
		t.Skip("SKIPPED: this machine has no address 127.0.0.2")
	}
	for _, broken := range append(slices.Sorted(maps.Keys(Breaks)), "") {
		t.Run("broken "+broken, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			var out bytes.Buffer
			if err := Run(t.Context(), Options{Once: true, JSON: true, Break: broken, Out: &out}); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			seen, failed := map[string]bool{}, 0
			for line := range strings.Lines(out.String()) {
				var s step
				if err := json.Unmarshal([]byte(line), &s); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if s.Time == nil || s.OK == nil || s.Peer == nil || s.Node == "" || s.Text == "" {
					t.Errorf("a field is missing in %s", line)
				}
				seen[s.Step] = true
				if s.OK != nil && !*s.OK {
					failed++
				}
			}
			for _, want := range required {
				if !seen[string(want)] {
					t.Errorf("no step %s", want)
				}
			}
			if (failed > 0) != (broken != "") {
				t.Errorf("%d steps failed", failed)
			}
			if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestPeopleAreTold(t *testing.T) {
	if !hasAddress("127.0.0.2") {
		t.Skip("SKIPPED: this machine has no address 127.0.0.2")
	}
	for broken, wants := range map[string][]string{
		"user-unknown": {"Broken on purpose", "queued for 1 recipient", "550 5.1.1", "What happened: There is no such address."},
		"forged": {"550 5.7.26", "SPF_FAIL", "127.0.0.4 may not send mail of north.test",
			"spf=pass smtp.mailfrom=north.test", "dkim=pass", "dmarc=pass", "DKIM_PASS", "DMARC_PASS"},
	} {
		var out bytes.Buffer
		if err := Run(t.Context(), Options{Once: true, Break: broken, Out: &out}); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", broken, want, out.String())
			}
		}
	}
}

func TestUnknownBreakIsRefused(t *testing.T) {
	err := Run(t.Context(), Options{Break: "everything", Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "mx-down") {
		t.Errorf("got %v, want the choices", err)
	}
}
