// SPDX-License-Identifier: GPL-3.0-or-later

// Stands in for KServe's storage initializer, an image of Python packages: the test model needs no files, so
// for `storage-initializer SOURCE FOLDER` it only notes in FOLDER where they would have come from.
package main

import (
	"log"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: storage-initializer SOURCE FOLDER")
	}
	source, folder := os.Args[1], os.Args[2]
	if err := os.WriteFile(filepath.Join(folder, "source"), []byte(source+"\n"), 0o644); err != nil {
		log.Fatal(err)
	}
	log.Printf("nothing is fetched from %s", source)
}
