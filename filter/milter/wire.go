package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Commands to a milter (SMFIC_*).
const (
	cmdNegotiate = 'O'
	cmdMacros    = 'D'
	cmdConnect   = 'C'
	cmdHelo      = 'H'
	cmdMail      = 'M'
	cmdRcpt      = 'R'
	cmdData      = 'T'
	cmdHeader    = 'L'
	cmdEOH       = 'N'
	cmdBody      = 'B'
	cmdEOM       = 'E'
	cmdAbort     = 'A'
	cmdQuit      = 'Q'
)

// Replies of a milter (SMFIR_*).
const (
	replyAccept       = 'a'
	replyContinue     = 'c'
	replyDiscard      = 'd'
	replyReject       = 'r'
	replyTempfail     = 't'
	replySkip         = 's'
	replyProgress     = 'p'
	replyCode         = 'y'
	replyShutdown     = '4'
	replyConnFail     = 'f'
	replyAddRcpt      = '+'
	replyAddRcptArgs  = '2'
	replyDeleteRcpt   = '-'
	replyBody         = 'b'
	replyAddHeader    = 'h'
	replyChangeHeader = 'm'
	replyInsertHeader = 'i'
	replyChangeFrom   = 'e'
	replyQuarantine   = 'q'
	replyNegotiate    = 'O'
)

// What we let a milter do (SMFIF_*): everything, and asking for macros of its choice.
const allActions = 0x1FF

// Flags of the negotiation by which a milter wants to hear less (SMFIP_*).
const (
	noConnect = 1 << iota
	noHelo
	noMail
	noRcpt
	noBody
	noHeaders
	noEOH
	noHeaderReply
	noUnknown
	noData
	canSkip
	rejectedRcpt // wants rejected recipients too; we name none to a milter
	noConnectReply
	noHeloReply
	noMailReply
	noRcptReply
	noDataReply
	noUnknownReply
	noEOHReply
	noBodyReply
	leadingSpace // header values keep the space after the colon
)

// allFlags is what we offer.
const allFlags = leadingSpace<<1 - 1

// Versions of the protocol.
const (
	ourVersion   = 6
	leastVersion = 2
	dataVersion  = 4 // milters before it do not know DATA
)

// Bounds of what is sent and read.
const (
	// maxChunk is the most data of a packet to a milter: libmilter refuses more unless told otherwise.
	maxChunk = 65535
	// maxReply is the longest packet taken from one, in bytes.
	maxReply = 1<<20 + 64
	// maxReplyText is the longest text of a reply to a client, in bytes.
	maxReplyText = 4096
)

// errProtocol is the cause of errors about a milter that does not follow the protocol.
var errProtocol = errors.New("the milter broke the protocol")

// A packet is one command or reply.
type packet struct {
	code byte
	data []byte
}

// appendPacket appends the wire form of a command.
func appendPacket(dst []byte, code byte, data ...[]byte) []byte {
	n := 1
	for _, d := range data {
		n += len(d)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, code)
	for _, d := range data {
		dst = append(dst, d...)
	}
	return dst
}

// readPacket reads one packet. Memory of a long one grows with what arrives, not with what its length
// promises.
func readPacket(r *bufio.Reader) (packet, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return packet{}, err
	}
	length := binary.BigEndian.Uint32(head[:4])
	if length == 0 || length > maxReply {
		return packet{}, fmt.Errorf("%w: a packet of %d bytes, want 1 to %d", errProtocol, length, maxReply)
	}
	p := packet{code: head[4]}
	if length <= maxChunk {
		p.data = make([]byte, length-1)
		_, err := io.ReadFull(r, p.data)
		if err == io.EOF && length > 1 {
			err = io.ErrUnexpectedEOF
		}
		return p, err
	}
	var data bytes.Buffer
	if _, err := io.CopyN(&data, r, int64(length-1)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return packet{}, err
	}
	p.data = data.Bytes()
	return p, nil
}

// cstring appends s as the protocol ends texts: with a NUL, which s itself then may not hold.
func cstring(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	for i := start; i < len(dst); i++ {
		if dst[i] == 0 {
			dst[i] = ' '
		}
	}
	return append(dst, 0)
}

// cut returns the text before the first NUL of data, and what follows it.
func cut(data []byte) (text string, rest []byte, ok bool) {
	before, after, found := bytes.Cut(data, []byte{0})
	return string(before), after, found
}

// text returns data up to its first NUL; milters are known to leave it out at the end.
func text(data []byte) string {
	s, _, _ := cut(data)
	return s
}
