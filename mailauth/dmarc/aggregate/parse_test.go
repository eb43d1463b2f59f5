package aggregate

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
	"posthaste/message"
)

const small = `<?xml version="1.1" encoding="windows-1252"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<feedback xmlns="urn:x"><report_metadata><org_name>K` + "\xf6" + `ln &b; & co</org_name><email><a@b.test></email><report_id>1</report_id><date_range><begin>1700000000</begin><end>1700086399.5</end></date_range></report_metadata>
<policy_published><domain>South.Test.</domain><p>Reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count> 7 </count><policy_evaluated><disposition>NONE</disposition><dkim>Pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>South.test</header_from></identifiers><auth_results/></record>
<record><row><source_ip>192.0.2.2</source_ip><count>-3</count></row></record></feedback> trailing < junk`

func gzipped(r io.Reader) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.Copy(z, r)
	z.Close()
	return b.Bytes()
}

func zipped(files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, _ := z.Create(files[i])
		io.WriteString(w, files[i+1])
	}
	z.Close()
	return b.Bytes()
}

func TestParse(t *testing.T) {
	for name, b := range map[string][]byte{
		"plain": []byte(small), "gzip": gzipped(strings.NewReader(small)), "zip": zipped("readme.txt", "hello", "r.XML", small), "zip of one": zipped("report", small),
		"gzip in zip": zipped("r.xml.gz", string(gzipped(strings.NewReader(small)))), "gzip without its end": gzipped(strings.NewReader(small))[:len(gzipped(strings.NewReader(small)))-4],
		"a byte order mark": []byte("\xef\xbb\xbf\r\n" + small),
	} {
		r, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := Row{Source: "192.0.2.1", Count: 7, Disposition: "none", DKIM: "pass", SPF: "fail", HeaderFrom: "south.test"}
		if r.Organization != "K?ln &b; & co" || r.Email != "<a@b.test>" || r.Policy.Domain != "South.Test." || r.Policy.P != "reject" || r.End.Unix() != 1700086399 ||
			len(r.Rows) != 2 || fmt.Sprint(r.Rows[0]) != fmt.Sprint(want) || r.Rows[1].Count != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for claim, b := range map[string][]byte{
		"nothing":                  nil,
		"text":                     []byte("hello"),
		"HTML":                     []byte("<html><body>hello</body></html>"),
		"elements outside":         []byte("<x>" + strings.ReplaceAll(small[strings.Index(small, "<report"):], "feedback", "x")),
		"no policy":                []byte("<feedback><report_metadata><report_id>1</report_id></report_metadata></feedback>"),
		"cut off":                  []byte(small[:600]),
		"an archive without XML":   zipped("a.txt", small, "b.txt", small),
		"broken gzip":              gzipped(strings.NewReader(small))[:30],
		"gzip three times":         gzipped(bytes.NewReader(gzipped(bytes.NewReader(gzipped(strings.NewReader(small)))))),
		"an archive of many files": zipped(strings.Split(strings.Repeat("a.xml,x,", maxFiles+1), ",")[:2*(maxFiles+1)]...),
	} {
		if r, err := Parse(b); err == nil {
			t.Errorf("%s was taken for a report: %+v", claim, r)
		}
	}
}

func TestExtractTriesTheAttachments(t *testing.T) {
	part := func(kind, name string, body []byte) message.Entity {
		return message.Entity{Type: kind, Disposition: "attachment", Filename: name, Body: body}
	}
	mail := func(parts ...message.Entity) []byte {
		var b message.Builder
		b.Field("Subject", "x")
		return b.Body(message.Multipart("mixed", parts...))
	}
	for name, content := range map[string][]byte{
		"by type":                   mail(message.TextEntity("plain", "hi"), part("application/gzip", "", gzipped(strings.NewReader(small)))),
		"by name":                   mail(part("application/x-unknown", "a!b!1!2.xml.gz", gzipped(strings.NewReader(small)))),
		"the second":                mail(part("text/xml", "x.xml", []byte("<a/>")), part("application/zip", "r.zip", zipped("a.xml", small))),
		"in a message that is sent": mail(message.Entity{Type: "message/rfc822", Body: mail(part("text/xml", "", []byte(small)))}),
	} {
		if r, err := Extract(content); err != nil || r.ID != "1" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, content := range map[string][]byte{
		"no attachment":   []byte("Subject: hi\r\n\r\n" + small),
		"the wrong type":  mail(part("image/png", "x.png", []byte(small))),
		"too many before": mail(append(make([]message.Entity, 0), append(repeat(part("text/xml", "", []byte("<a/>")), maxAttachments), part("text/xml", "", []byte(small)))...)...),
	} {
		if r, err := Extract(content); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func repeat(e message.Entity, n int) []message.Entity {
	var all []message.Entity
	for range n {
		all = append(all, e)
	}
	return all
}

// zeros is an endless sequence of spaces.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestBombs states what the worst reports cost.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time and memory")
	}
	record := small[strings.Index(small, "<record>") : strings.Index(small, "</record>")+len("</record>")]
	head := small[strings.Index(small, "<feedback"):strings.Index(small, "<record>")]
	deep := head + "<record>" + strings.Repeat("<a>", 1_000_000)
	bomb := gzipped(io.LimitReader(zeros{}, 64<<20))
	for _, c := range []struct {
		name string
		b    []byte
		err  bool
	}{
		{"64 MiB of spaces as gzip", bomb, true},
		{"64 MiB of spaces as zip", zipped("a.xml", strings.Repeat(" ", 64<<20)), true},
		{"a gzip bomb in a gzip bomb", gzipped(bytes.NewReader(bomb)), true},
		{"8 MiB of records", []byte(head + strings.Repeat(record, maxUnpacked/len(record)-10) + "</feedback>"), true},
		{"9 MiB of records", []byte(head + strings.Repeat(record, 9<<20/len(record)) + "</feedback>"), true},
		{"4 MiB of records", []byte(head + strings.Repeat(record, maxPacked/len(record)-10) + "</feedback>"), false},
		{"8 MiB of records as gzip", gzipped(strings.NewReader(head + strings.Repeat(record, maxUnpacked/len(record)-10) + "</feedback>")), true},
		{"9 MiB of empty records", []byte(head + strings.Repeat("<record/>", 900_000) + "</feedback>"), true},
		{"a million elements within each other", gzipped(strings.NewReader(deep)), true},
		{"8 MiB of attributes", gzipped(strings.NewReader(head + "<record " + strings.Repeat("a='b' ", 1_200_000) + "></record></feedback>")), false},
		{"a million signatures in a record", gzipped(strings.NewReader(head + "<record><auth_results>" + strings.Repeat("<dkim/>", 1_000_000) + "</auth_results></record></feedback>")), true},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		r, err := Parse(c.b)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		t.Logf("%-40s %8d bytes: %6d ms, %4d MB allocated, %d rows, %v", c.name, len(c.b), took.Milliseconds(), (after.TotalAlloc-before.TotalAlloc)>>20, len(r.Rows), err)
		if c.err != (err != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if after.TotalAlloc-before.TotalAlloc > 256<<20 {
			t.Errorf("%s: %d MB", c.name, (after.TotalAlloc-before.TotalAlloc)>>20)
		}
	}
}

func TestInboxAndSummary(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := NewInbox(store)
	c, _, _ := newCollector(t, store)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i, domain := range []string{"south.test", "south.test", "east.test"} {
		r := Report{Organization: "big.test", ID: fmt.Sprint(i), Policy: Published{Domain: domain, P: "none"}, Begin: now.Add(time.Duration(i) * 24 * time.Hour), End: now.Add(time.Duration(i+1) * 24 * time.Hour),
			Rows: []Row{{Source: "192.0.2.1", Count: 10, DKIM: "pass", SPF: "fail", Disposition: "none", HeaderFrom: domain},
				{Source: "::ffff:192.0.2.1", Count: 1, DKIM: "fail", SPF: "pass", Disposition: "none", HeaderFrom: domain},
				{Source: "2001:db8::1", Count: 5, DKIM: "fail", SPF: "fail", Disposition: "reject", HeaderFrom: domain}}}
		packed, err := r.pack()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // each comes twice
			if _, err := in.Receive(t.Context(), c.compose(r, c.cfg.From, packed), now.Add(time.Duration(i)*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := in.Summarize(t.Context(), "", time.Time{})
	if err != nil || len(all) != 2 || all[0].Domain != "east.test" || all[1].Reports != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	s := all[1]
	if s.Source != (Source{Count: 32, DKIM: 20, SPF: 2, Pass: 22, Rejected: 10}) || s.End.Sub(s.Begin) != 48*time.Hour {
		t.Errorf("sum %+v", s)
	}
	if len(s.Sources) != 2 || s.Sources[0] != (Source{Address: "192.0.2.1", Count: 22, DKIM: 20, SPF: 2, Pass: 22}) {
		t.Errorf("sources %+v", s.Sources)
	}
	if one, err := in.Summarize(t.Context(), "east.test", time.Time{}); err != nil || len(one) != 1 || one[0].Reports != 1 {
		t.Errorf("one domain: %+v, %v", one, err)
	}
	if none, err := in.Summarize(t.Context(), "", now.Add(24*time.Hour)); err != nil || len(none) != 0 {
		t.Errorf("since tomorrow: %+v, %v", none, err)
	}
	if _, err := in.Receive(t.Context(), []byte("Subject: hi\r\n\r\nhello\r\n"), now); err == nil {
		t.Error("a message without report was taken for one")
	}
}

func TestAReportTooLargeToKeepLosesRows(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	var b strings.Builder
	b.WriteString(small[strings.Index(small, "<feedback"):strings.Index(small, "<record>")])
	for range maxRows {
		auth := strings.Repeat("<dkim><domain>"+strings.Repeat("d", 200)+"</domain><human_result>"+strings.Repeat("h", 200)+"</human_result></dkim>", 3)
		b.WriteString("<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row><auth_results>" + auth + "</auth_results></record>")
	}
	b.WriteString("</feedback>")
	var m message.Builder
	content := m.Body(message.Entity{Type: "application/gzip", Body: gzipped(strings.NewReader(b.String()))})
	got, err := NewInbox(store).Receive(t.Context(), content, time.Unix(1<<30, 0))
	if err != nil || len(got.Report.Rows) == 0 || int64(len(got.Report.Rows))+got.Report.Omitted != maxRows || got.Report.Omitted == 0 {
		t.Errorf("%d rows, %d omitted, %v", len(got.Report.Rows), got.Report.Omitted, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(gzipped(strings.NewReader(small)))
	f.Add(zipped("a.xml", small))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		for _, c := range r.Text() {
			if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("control characters reach the terminal: %q", r.Text())
			}
		}
		if len(r.Rows) > maxRows {
			t.Fatal("too many rows")
		}
		printed, err := r.XML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(printed)
		if err != nil {
			t.Fatalf("what is printed cannot be read: %v\n%s", err, printed)
		}
		one, _ := json.Marshal(r)
		two, _ := json.Marshal(back)
		if r.Omitted == 0 && !bytes.Equal(one, two) {
			t.Fatalf("%s\n%s", one, two)
		}
	})
}
