package wire

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// maxIdleInput is how much of its input buffer an idle TLS connection may keep: what short commands
// need, so that they cause no allocation.
const maxIdleInput = 1 << 10

// A tls.Conn keeps the buffers of its handshake, and that of the largest record it ever read, up to
// 34 KB, for as long as it lives. Of thousands of idle connections that is most of the memory, and
// crypto/tls has no call to free it. So we reach for two unexported fields, where they are what we
// know; where a later Go has changed them, memory is not freed, and a test says so.
var (
	rawInputOffset, rawInputKnown = bufferField("rawInput") // records not yet decrypted
	handOffset, handKnown         = bufferField("hand")     // handshake messages not yet read
)

func bufferField(name string) (offset uintptr, known bool) {
	field, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return field.Offset, ok && field.Type == reflect.TypeFor[bytes.Buffer]()
}

// shrinkTLS frees empty buffers of c. Nothing may be reading from c, and all that was decrypted must
// have been read, because that lies in rawInput too.
func shrinkTLS(c *tls.Conn) {
	if rawInputKnown {
		shrink((*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), rawInputOffset)))
	}
	if handKnown {
		shrink((*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), handOffset)))
	}
}

func shrink(b *bytes.Buffer) {
	if b.Len() == 0 && b.Cap() > maxIdleInput {
		*b = bytes.Buffer{}
	}
}
