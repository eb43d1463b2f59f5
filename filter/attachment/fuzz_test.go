package attachment

import (
	"testing"
	"time"
)

// tight are bounds that inputs of a fuzzer reach.
func tight() *Policy { return New(Config{Depth: 3, Bytes: 1 << 20, Entries: 50, Time: time.Second}) }

// FuzzFile takes any file under any name: archives, documents, pages.
func FuzzFile(f *testing.F) {
	f.Add("a.zip", []byte(zipped("a.exe", exe, "b.zip", zipped("c", "d"))))
	f.Add("a.zip", []byte(overlapping(3)))
	f.Add("a.zip", []byte(lockedZip("a", "b")))
	f.Add("a.docx", []byte(zipped("[Content_Types].xml", "", "word/vbaProject.bin", "x", "word/_rels/a.rels", "<Relationship Target=\"http:")))
	f.Add("a.tgz", []byte(gzipped(tarred("a", "b", "c.js", "d"))))
	f.Add("a.bz2", []byte("BZh91AY&SY"))
	f.Add("a.zst", []byte(zeroZstd(1000)))
	f.Add("a.pdf", []byte("%PDF-1.7 /Java#53cript /ObjStm stream\r\n"+deflated("/Launch")))
	f.Add("a.html", []byte("<script>atob</script><a download href=data:x><meta http-equiv=refresh content=url>"))
	f.Add("a.rtf", []byte(`{\rtf1{\*\template http://x}`))
	f.Add("a.rar", []byte("Rar!\x1a\x07\x01\x00\x00\x00\x00\x00\x0d\x04"))
	f.Add("a\u202e.exe ", []byte("MZ"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		l := &look{Policy: tight(), ctx: t.Context(), left: 1 << 20, reads: 50, until: time.Now().Add(time.Second)}
		l.item(item{name: name, data: data, whole: true})
		r := l.result()
		for _, f := range r.Findings {
			if len(f.Evidence) > 4*maxEvidence*(maxText+100) {
				t.Errorf("%d bytes of evidence", len(f.Evidence))
			}
		}
	})
}

// FuzzCompound takes OLE2 files.
func FuzzCompound(f *testing.F) {
	f.Add([]byte(compounded("", cfbPart{"\x01Ole10Native", 2, "", native("a.exe", exe)}, cfbPart{"Workbook", 2, "", record(0x85, "\x00\x00\x00\x00\x00\x01\x01a")})))
	f.Add([]byte(compounded(string(classMSI), cfbPart{"VBA", 1, "", ""})))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCompound(data)
		if err != nil {
			return
		}
		if len(c.entries) > maxCFBEntries || len(c.fat)*4 > len(data)+c.sector*2 {
			t.Errorf("%d entries and %d of the table out of %d bytes", len(c.entries), len(c.fat), len(data))
		}
		for i := range c.entries {
			if n := len(c.stream(&c.entries[i], 1000)); n > 1000 {
				t.Errorf("%d bytes of a stream", n)
			}
		}
	})
}

// FuzzMessage takes whole messages.
func FuzzMessage(f *testing.F) {
	f.Add(string(letter(file{name: "a.zip", content: zipped("a.exe", exe)}).Content))
	f.Fuzz(func(t *testing.T, content string) {
		rules(t, tight(), parsed(content))
	})
}
