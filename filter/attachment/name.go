package attachment

import (
	"strings"
	"unicode"
)

// The dangerous extensions. Those of programs and of what starts them, and those of scripts that a double
// click runs on a common desktop. Scripts of Unix (sh, py, pl) are not among them: no desktop runs them by a
// click, and developers send them every day.
const (
	programExtensions = " exe com scr pif cpl dll ocx sys drv efi msi msp mst msu msix msixbundle appx appxbundle appinstaller application" +
		" lnk scf url library-ms search-ms searchconnector-ms settingcontent-ms appref-ms website gadget diagcab xbap" +
		" iso img vhd vhdx udf wim chm hlp one onepkg jar jnlp apk xll wll ppa ppam xla xlam ade adp mde mda accde" +
		" app dmg pkg mpkg deb rpm reg inf theme themepack deskthemepack rdp "
	scriptExtensions = " js jse mjs vbs vbe vb wsf wsh ws wsc sct hta bat cmd ps1 ps1xml ps2 ps2xml psc1 psc2 psm1 psd1 msh msh1 msh2" +
		" mshxml msc job shb shs command terminal action workflow scpt applescript "
	// What people take for harmless when it stands before the last extension.
	documentExtensions = " pdf doc docx docm xls xlsx xlsm ppt pptx odt ods odp rtf txt csv jpg jpeg png gif bmp tif tiff webp svg htm html" +
		" mp3 mp4 wav avi mov mkv zip rar 7z eml msg xml ics vcf "
)

func among(list, ext string) bool {
	return ext != "" && !strings.Contains(ext, " ") && strings.Contains(list, " "+ext+" ")
}

// maxExtension is the longest extension that counts as one.
const maxExtension = 20

// extension returns that of a name as a desktop reads it, in lower case without dot. Windows drops dots and
// spaces at the end.
func extension(name string) string {
	name = strings.TrimRight(name, ". \t\x00")
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot-1 > maxExtension {
		return ""
	}
	return strings.ToLower(name[dot+1:])
}

// isHiding tells whether a character changes the order of others or is not seen. Marks of direction alone
// are not among them: file managers write them into names in Arabic and Hebrew.
func isHiding(r rune) bool {
	switch r {
	case '\u202d', '\u202e', '\u200b', '\u2060', '\ufeff', '\u00ad', '\u180e', '\u3164', '\uffa0', '\u115f', '\u1160':
		return true
	}
	return r >= 0xe0000 && r <= 0xe007f
}

// manySpaces before an extension push it out of sight.
const manySpaces = 10

// trick says how name deceives, or "".
func trick(name string) string {
	for _, r := range name {
		switch {
		case r == '\u202e' || r == '\u202d':
			return "turns the direction of its name"
		case isHiding(r):
			return "has characters in its name that are not seen"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return "has control characters in its name"
		}
	}
	if strings.Contains(name, strings.Repeat(" ", manySpaces)) || strings.Contains(name, strings.Repeat("\u00a0", manySpaces)) {
		return "has its extension pushed out of sight by spaces"
	}
	if end := strings.TrimRight(name, ". \u00a0"); end != name && (isProgram(extension(end)) || among(scriptExtensions, extension(end))) {
		return "hides its extension before dots or spaces"
	}
	return ""
}

func isProgram(ext string) bool { return among(programExtensions, ext) }

// doubled tells whether a dangerous extension stands after that of a document: invoice.pdf.exe.
func doubled(name, ext string) bool {
	name = strings.TrimRight(name, ". \t\x00")
	if len(name) <= len(ext) {
		return false
	}
	before := strings.TrimRightFunc(name[:len(name)-len(ext)-1], unicode.IsSpace)
	return among(documentExtensions, extension(before))
}
