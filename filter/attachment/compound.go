package attachment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

// Bounds on a compound file ([MS-CFB]). Chains are bounded by the number of sectors.
const (
	cfbHeader     = 512
	cfbEntry      = 128
	maxCFBEntries = 4096
	maxMini       = 4 << 20 // bytes of the stream that holds the small ones
	maxCFBSectors = 1 << 20
)

// Marks in allocation tables.
const maxSector = 0xfffffffa

var errCompound = errors.New("has a structure that is damaged")

// A cfb is a compound file: the file system of old Office documents, MSI and Outlook.
type cfb struct {
	data    []byte // after the header, sector 0 first
	sector  int    // bytes
	fat     []uint32
	miniFAT uint32 // first sector
	cutoff  uint64
	entries []cfbFile
	mini    []byte // content of small streams, read when first needed
}

// A cfbFile is an entry of the directory.
type cfbFile struct {
	name  string
	kind  byte // 1 storage, 2 stream, 5 root
	class [16]byte
	start uint32
	size  uint64
}

// parseCompound reads header and directory.
func parseCompound(b []byte) (*cfb, error) {
	if len(b) < cfbHeader {
		return nil, errCompound
	}
	shift := u16(b, 30)
	if shift != 9 && shift != 12 {
		return nil, errCompound
	}
	c := &cfb{sector: 1 << shift, cutoff: uint64(u32(b, 56)), miniFAT: u32(b, 60)}
	c.data = b[min(len(b), c.sector):]
	c.readFAT(b)
	dir := c.chain(u32(b, 48), maxCFBEntries*cfbEntry)
	for ; len(dir) >= cfbEntry; dir = dir[cfbEntry:] {
		if f := readCFBFile(dir); f.kind != 0 {
			c.entries = append(c.entries, f)
		}
	}
	if len(c.entries) == 0 {
		return nil, errCompound
	}
	return c, nil
}

// readFAT joins the sectors of the allocation table, which the header lists, and a chain of sectors after
// its first 109.
func (c *cfb) readFAT(b []byte) {
	sectors := min((len(c.data)+c.sector-1)/c.sector, maxCFBSectors)
	most := sectors*4/c.sector + 1 // so many sectors hold an entry for each sector
	add := func(list []byte) {
		for ; len(list) >= 4 && most > 0; list = list[4:] {
			s := c.at(binary.LittleEndian.Uint32(list))
			if s == nil {
				continue
			}
			most--
			for i := 0; i+4 <= len(s); i += 4 {
				c.fat = append(c.fat, u32(s, i))
			}
		}
	}
	add(b[76:cfbHeader])
	for next := u32(b, 68); most > 0; {
		s := c.at(next)
		if len(s) < c.sector {
			return
		}
		add(s[:c.sector-4])
		next = u32(s, c.sector-4)
		most--
	}
}

// at returns a sector, shorter at the end of the file, nil beyond.
func (c *cfb) at(n uint32) []byte {
	from := int64(n) * int64(c.sector)
	if n > maxSector || from >= int64(len(c.data)) {
		return nil
	}
	return c.data[from:min(from+int64(c.sector), int64(len(c.data)))]
}

// chain joins the sectors that follow start, at most limit bytes. A chain that turns back upon itself ends
// there after as many steps as there are sectors.
func (c *cfb) chain(start uint32, limit int) []byte {
	var out []byte
	for n, steps := start, len(c.fat); steps > 0 && len(out) < limit; steps-- {
		s := c.at(n)
		if s == nil {
			break
		}
		out = append(out, s...)
		if int64(n) >= int64(len(c.fat)) {
			break
		}
		n = c.fat[n]
	}
	return out[:min(len(out), limit)]
}

// stream returns the begin of a stream, at most limit bytes.
func (c *cfb) stream(f *cfbFile, limit int) []byte {
	if f.size < uint64(limit) {
		limit = int(f.size)
	}
	if f.size >= c.cutoff || f.kind == 5 {
		return c.chain(f.start, limit)
	}
	if c.mini == nil {
		c.mini = c.chain(c.entries[0].start, maxMini)
	}
	const miniSector = 64
	table := c.chain(c.miniFAT, maxMini/miniSector*4)
	var out []byte
	for n, steps := f.start, len(table)/4; steps > 0 && len(out) < limit; steps-- {
		from := int64(n) * miniSector
		if from >= int64(len(c.mini)) {
			break
		}
		out = append(out, c.mini[from:min(from+miniSector, int64(len(c.mini)))]...)
		if int64(n)*4+4 > int64(len(table)) {
			break
		}
		n = u32(table, int(n)*4)
	}
	return out[:min(len(out), limit)]
}

// readCFBFile reads one entry of the directory.
func readCFBFile(b []byte) cfbFile {
	f := cfbFile{kind: b[66], start: u32(b, 116), size: binary.LittleEndian.Uint64(b[120:])}
	copy(f.class[:], b[80:96])
	n := min(int(u16(b, 64)), 64)
	var units []uint16
	for i := 0; i+2 <= n; i += 2 {
		if u := u16(b, i); u != 0 {
			units = append(units, u)
		}
	}
	f.name = string(utf16.Decode(units))
	return f
}

// Classes of objects, as they stand in a file.
var (
	classMSI      = []byte("\x84\x10\x0c\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F")
	classPatch    = []byte("\x86\x10\x0c\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F")
	classEquation = []byte("\x02\xce\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F")
)

func (f *cfbFile) is(class []byte) bool { return bytes.Equal(f.class[:], class) }
