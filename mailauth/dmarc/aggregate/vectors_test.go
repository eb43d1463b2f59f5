package aggregate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors are reports that others collected: see SOURCES.md there.
const vectors = "../../../../shared/testdata/dmarc"

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(vectors, pattern))
	if err != nil || len(all) == 0 {
		t.Skipf("no test data at %s", filepath.Join(vectors, pattern))
	}
	return all
}

func read(t *testing.T, file string) (Report, error) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".eml") {
		return Extract(b)
	}
	return Parse(b)
}

// expected is what mail-auth has of a report; it writes enumerations as Go would not.
type expected struct {
	Metadata struct {
		Organization string                     `json:"org_name"`
		Email        string                     `json:"email"`
		ID           string                     `json:"report_id"`
		Range        struct{ Begin, End int64 } `json:"date_range"`
	} `json:"report_metadata"`
	Policy struct {
		Domain string
		P, SP  string
	} `json:"policy_published"`
	Records []struct {
		Row struct {
			Source    string `json:"source_ip"`
			Count     int64
			Evaluated struct {
				Disposition, DKIM, SPF string
				Reason                 []struct{ Type string }
			} `json:"policy_evaluated"`
		}
		Identifiers struct {
			HeaderFrom   string `json:"header_from"`
			EnvelopeFrom string `json:"envelope_from"`
		}
		Auth struct {
			DKIM, SPF []struct{ Domain, Result string }
		} `json:"auth_results"`
	} `json:"record"`
}

func TestReportsAsMailAuthReadsThem(t *testing.T) {
	for _, file := range files(t, "mail-auth-feedback/*.json") {
		source := strings.TrimSuffix(file, ".json")
		if _, err := os.Stat(source + ".xml"); err == nil {
			source += ".xml"
		} else {
			source += ".eml"
		}
		b, _ := os.ReadFile(file)
		var want expected
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		got, err := read(t, source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		m := want.Metadata
		if got.Organization != m.Organization || got.Email != m.Email || got.ID != m.ID || got.Begin.Unix() != m.Range.Begin || got.End.Unix() != m.Range.End {
			t.Errorf("%s: got %+v, want %+v", source, got, m)
		}
		if got.Policy.Domain != want.Policy.Domain || word(want.Policy.P) != got.Policy.P && want.Policy.P != "Unspecified" {
			t.Errorf("%s: policy %+v, want %+v", source, got.Policy, want.Policy)
		}
		if len(got.Rows) != len(want.Records) {
			t.Errorf("%s: %d rows, want %d", source, len(got.Rows), len(want.Records))
			continue
		}
		for i, w := range want.Records {
			compare(t, source, got.Rows[i], w.Row.Source, w.Row.Count, [3]string{w.Row.Evaluated.Disposition, w.Row.Evaluated.DKIM, w.Row.Evaluated.SPF},
				[4]int{len(w.Row.Evaluated.Reason), len(w.Auth.DKIM), len(w.Auth.SPF), 0}, w.Identifiers.HeaderFrom, w.Identifiers.EnvelopeFrom)
		}
	}
}

func compare(t *testing.T, name string, got Row, source string, count int64, words [3]string, lengths [4]int, from, envelope string) {
	t.Helper()
	for i, word := range []string{got.Disposition, got.DKIM, got.SPF} {
		if want := strings.ToLower(words[i]); want != word && want != "unspecified" {
			t.Errorf("%s: %s: %q, want %q", name, source, word, want)
		}
	}
	if got.Source != source || got.Count != count || got.HeaderFrom != from || got.EnvelopeFrom != envelope ||
		lengths != [4]int{len(got.Overrides), len(got.DKIMResults), len(got.SPFResults), 0} {
		t.Errorf("%s: got %+v, want %s %d %v %s %s", name, got, source, count, lengths, from, envelope)
	}
}

func TestReportsOfManyHosts(t *testing.T) {
	n := 0
	for _, pattern := range []string{"parsedmarc/aggregate/*", "parsedmarc/aggregate_invalid/*", "parsedmarc/extract_report/*"} {
		for _, file := range files(t, pattern) {
			got, err := read(t, file)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			n++
			if got.Policy.Domain == "" || len(got.Rows) == 0 || got.Begin.IsZero() {
				t.Errorf("%s: %+v", file, got)
			}
			for _, row := range got.Rows {
				if row.HeaderFrom == "" || row.Count == 0 && !strings.Contains(file, "invalid") {
					t.Errorf("%s: row %+v", file, row)
				}
			}
			again(t, file, got)
		}
	}
	if n < 20 {
		t.Errorf("%d reports read", n)
	}
	if r, err := Parse(must(os.ReadFile(filepath.Join(vectors, "parsedmarc/empty.xml")))); err == nil {
		t.Errorf("an empty file: %+v", r)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// again prints a report and reads it back.
func again(t *testing.T, file string, r Report) {
	t.Helper()
	b, err := r.XML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(b)
	if err != nil {
		t.Errorf("%s: what we print we cannot read: %v", file, err)
		return
	}
	one, _ := json.Marshal(r)
	two, _ := json.Marshal(back)
	if r.Omitted == 0 && !bytes.Equal(one, two) {
		t.Errorf("%s: printed and read again\n%s\n%s", file, one, two)
	}
}
