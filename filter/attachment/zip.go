package attachment

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Sizes and bounds of the ZIP format (APPNOTE.TXT of PKWARE, version 6.3.10).
const (
	zipEndSize    = 22       // of the end of central directory record, without its comment
	zipEntrySize  = 46       // of a central header, without name, extra field and comment
	zipLocalSize  = 30       // of a local header, without name and extra field
	zipComment    = 65535    // the longest comment
	maxZipEntries = 20_000   // whose names are read
	bombRatio     = 250      // of unpacked to packed bytes; what people pack seldom has 50
	bombSize      = 16 << 20 // bytes that a bomb has at least
)

// A zipEntry is what the central directory says about a file.
type zipEntry struct {
	name      string
	flags     uint16
	method    uint16
	packed    uint64
	size      uint64
	offset    uint64 // of the local header
	encrypted bool
}

// zip looks into a ZIP archive, which an Office document may be.
func (l *look) zip(it item) {
	entries, more, err := zipDirectory(it.data)
	if err != nil {
		l.add(broken, it.at(), err.Error())
		entries, more = zipLocals(it.data)
	}
	if more {
		l.add(limit, it.at(), "has more files than are looked into")
	}
	if l.zipBomb(it, entries) {
		return
	}
	office := l.office(it, entries)
	for i := range entries {
		e := &entries[i]
		if strings.HasSuffix(e.name, "/") || l.burst || l.ctx.Err() != nil {
			continue
		}
		if e.encrypted {
			l.add(lockedArchive, it.at(), "is encrypted")
			l.name(item{name: base(e.name), path: it.at(), depth: it.depth + 1, among: len(entries)}, unknown)
			continue
		}
		if office && !officeContent(e.name) {
			continue
		}
		l.zipEntry(it, e, len(entries))
	}
}

// zipEntry looks at one file of an archive.
func (l *look) zipEntry(it item, e *zipEntry, among int) {
	inner := item{name: base(e.name), path: it.at(), depth: it.depth + 1, among: among}
	if l.left < 0 || l.reads <= 0 {
		l.add(limit, it.at(), "has more files than are looked into")
		l.name(inner, unknown)
		return
	}
	r, ok := l.zipContent(it.data, e)
	if !ok {
		l.add(broken, it.at(), "has a file that cannot be unpacked")
		l.name(inner, unknown)
		return
	}
	l.entry(inner, r)
	l.release(r)
}

// base returns the last part of a path, cut to maxName.
func base(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	return name[:min(len(name), maxName)]
}

// zipBomb tells whether an archive says itself that it bursts: by sizes, or by files that share content.
func (l *look) zipBomb(it item, entries []zipEntry) bool {
	var total uint64
	for _, e := range entries {
		if e.size > bombSize && e.size/bombRatio > e.packed {
			l.bomb(it, fmt.Sprintf("has a file that grows from %d to %d bytes", e.packed, e.size))
			return true
		}
		total += min(e.size, 1<<40)
	}
	if total > bombSize && total/bombRatio > uint64(len(it.data)) {
		l.bomb(it, fmt.Sprintf("grows from %d to %d bytes", len(it.data), total))
		return true
	}
	order := slices.Clone(entries)
	slices.SortFunc(order, func(a, b zipEntry) int {
		if a.offset < b.offset {
			return -1
		}
		return 1
	})
	end := uint64(0)
	for i, e := range order {
		if i > 0 && e.offset < end {
			l.bomb(it, "has files that lie upon each other")
			return true
		}
		end = e.offset + zipLocalSize + min(e.packed, 1<<50)
	}
	return false
}

// bomb notes a bomb, after which no archive of the message is opened any more.
func (l *look) bomb(it item, what string) {
	l.add(bomb, it.at(), what)
	l.burst = true
}

// zipDirectory reads the central directory, at most maxZipEntries, and tells whether there are more.
func zipDirectory(b []byte) (entries []zipEntry, more bool, err error) {
	at, count, base, err := zipEnd(b)
	if err != nil {
		return nil, false, err
	}
	for ; count > 0; count-- {
		if len(entries) >= maxZipEntries {
			return entries, true, nil
		}
		if at+zipEntrySize > uint64(len(b)) || string(b[at:at+4]) != "PK\x01\x02" {
			return entries, false, fmt.Errorf("has a directory that is damaged")
		}
		h := b[at:]
		n, x, c := uint64(u16(h, 28)), uint64(u16(h, 30)), uint64(u16(h, 32))
		if at+zipEntrySize+n+x+c > uint64(len(b)) {
			return entries, false, fmt.Errorf("has a directory that is damaged")
		}
		e := zipEntry{flags: u16(h, 8), method: u16(h, 10), packed: uint64(u32(h, 20)), size: uint64(u32(h, 24)), offset: uint64(u32(h, 42))}
		e.name = string(h[zipEntrySize : zipEntrySize+n])
		e.extra(h[zipEntrySize+n : zipEntrySize+n+x])
		e.offset += base
		entries = append(entries, e)
		at += zipEntrySize + n + x + c
	}
	return entries, false, nil
}

// extra reads what an extra field has about size and encryption.
func (e *zipEntry) extra(x []byte) {
	e.encrypted = e.flags&1 != 0 || e.method == 99
	for len(x) >= 4 {
		id, n := u16(x, 0), int(u16(x, 2))
		if n > len(x)-4 {
			return
		}
		if field := x[4 : 4+n]; id == 1 { // ZIP64: what did not fit, in this order
			for _, v := range []*uint64{&e.size, &e.packed, &e.offset} {
				if *v == 0xffffffff && len(field) >= 8 {
					*v, field = binary.LittleEndian.Uint64(field), field[8:]
				}
			}
		}
		x = x[4+n:]
	}
}

// zipEnd finds the central directory: where it is, how many entries it has, and how far offsets are off
// because something stands before the archive.
func zipEnd(b []byte) (at, count, base uint64, err error) {
	none := fmt.Errorf("has no directory")
	from := max(0, len(b)-zipEndSize-zipComment)
	i := bytes.LastIndex(b[from:], []byte("PK\x05\x06"))
	if i < 0 || from+i+zipEndSize > len(b) {
		return 0, 0, 0, none
	}
	end := uint64(from + i)
	h := b[end:]
	count, size, offset := uint64(u16(h, 10)), uint64(u32(h, 12)), uint64(u32(h, 16))
	if end >= 20 && string(b[end-20:end-16]) == "PK\x06\x07" {
		if big := binary.LittleEndian.Uint64(b[end-12:]); big < end && uint64(len(b))-big >= 56 && string(b[big:big+4]) == "PK\x06\x06" {
			count, size, offset = binary.LittleEndian.Uint64(b[big+32:]), binary.LittleEndian.Uint64(b[big+40:]), binary.LittleEndian.Uint64(b[big+48:])
			end = big
		}
	}
	if size > end {
		return 0, 0, 0, none
	}
	at = end - size
	if at >= offset {
		base = at - offset
	} else if offset+4 <= uint64(len(b)) && string(b[offset:offset+4]) == "PK\x01\x02" {
		at = offset
	}
	return at, count, base, nil
}

// zipLocals reads local headers one after the other, as some programs do with an archive that is damaged.
func zipLocals(b []byte) (entries []zipEntry, more bool) {
	for at := bytes.Index(b, []byte("PK\x03\x04")); at >= 0 && at+zipLocalSize <= len(b) && string(b[at:at+4]) == "PK\x03\x04"; {
		h := b[at:]
		n, x := int(u16(h, 26)), int(u16(h, 28))
		if at+zipLocalSize+n+x > len(b) {
			break
		}
		if len(entries) >= maxZipEntries {
			return entries, true
		}
		e := zipEntry{flags: u16(h, 6), method: u16(h, 8), packed: uint64(u32(h, 18)), size: uint64(u32(h, 22)), offset: uint64(at)}
		e.name = string(h[zipLocalSize : zipLocalSize+n])
		e.extra(h[zipLocalSize+n : zipLocalSize+n+x])
		rest := uint64(len(b) - at - zipLocalSize - n - x)
		if e.flags&8 != 0 || e.packed > rest { // its size follows it
			e.packed, e.size = rest, 0
		}
		entries = append(entries, e)
		at += zipLocalSize + n + x + int(e.packed)
	}
	return entries, false
}

// zipContent returns what unpacks a file, to be given back with release.
func (l *look) zipContent(b []byte, e *zipEntry) (io.Reader, bool) {
	if e.offset > uint64(len(b)) || uint64(len(b))-e.offset < zipLocalSize {
		return nil, false
	}
	h := b[e.offset:]
	start := zipLocalSize + uint64(u16(h, 26)) + uint64(u16(h, 28))
	if string(h[:4]) != "PK\x03\x04" || start > uint64(len(h)) || e.packed > uint64(len(h))-start {
		return nil, false
	}
	data := bytes.NewReader(h[start : start+e.packed])
	switch e.method {
	case 0:
		return data, true
	case 8:
		return l.inflate(data), true
	case 12:
		return bzip2.NewReader(data), true
	case 93:
		return newZstd(data), true
	}
	return nil, false
}

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
