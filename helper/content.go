package helper

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// seals keep a file in memory as it is: nobody who is handed it can change what another reads.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// sealedContent copies r into a file that has no name and cannot change any more, with line ends as
// programs and mailbox files of Unix want them, unless crlf says to leave them.
func sealedContent(r io.Reader, crlf bool) (*os.File, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "message")
	if r != nil {
		w := bufio.NewWriterSize(file, 64<<10)
		if crlf {
			_, err = io.Copy(w, r)
		} else {
			err = copyLF(w, bufio.NewReaderSize(r, 64<<10))
		}
		err = errors.Join(err, w.Flush())
	}
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// copyLF copies r with each CRLF as LF. Any other CR stays.
func copyLF(w *bufio.Writer, r *bufio.Reader) error {
	held := false // a CR at the end of the piece before
	for {
		piece, err := r.ReadSlice('\n')
		if held && !(len(piece) == 1 && piece[0] == '\n') && len(piece) > 0 {
			w.WriteByte('\r')
		}
		if len(piece) > 0 {
			held = false
		}
		switch {
		case bytes.HasSuffix(piece, []byte("\r\n")):
			w.Write(piece[:len(piece)-2])
			w.WriteByte('\n')
		case bytes.HasSuffix(piece, []byte("\r")) && errors.Is(err, bufio.ErrBufferFull):
			w.Write(piece[:len(piece)-1])
			held = true
		default:
			w.Write(piece)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// checkContent tells whether what the server handed over is content: a sealed file in memory, so that
// reading it neither blocks nor sees it change.
func checkContent(file *os.File) error {
	got, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || got&seals != seals {
		return errors.New("helper: the content is not a sealed file in memory")
	}
	return nil
}
