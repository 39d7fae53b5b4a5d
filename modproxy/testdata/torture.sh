#!/bin/bash
# builds two bare repos full of zip-hash corner cases: torture.git and incompat.git
set -e
T=$1; cd "$T"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@x
at() { export GIT_AUTHOR_DATE="2024-01-$1T10:00:00+0300" GIT_COMMITTER_DATE="2024-01-$1T12:34:56+0900"; }
git init -q -b main wt; cd wt; git config core.autocrlf false; git config core.safecrlf false
blob() { printf "$2" | git hash-object -w --stdin | xargs -I{} git update-index --add --cacheinfo 100644,{},"$1"; }   # exact bytes, no clean filter
link() { printf "$2" | git hash-object -w --stdin | xargs -I{} git update-index --add --cacheinfo 120000,{},"$1"; }
P=example.com/torture.git
blob go.mod "module $P\n\ngo 1.20\n"; blob a.go "package a\n"; blob LICENSE "root license\n"
blob .gitattributes '*.bat text eol=crlf\ncrlf.txt text eol=crlf\neolonly.txt eol=crlf\nnotext.txt -text eol=crlf\nauto.txt text=auto eol=crlf\nautobin.dat text=auto eol=crlf\nautomixed.txt text=auto eol=crlf\ntextmixed.txt text eol=crlf\nident.txt ident\nutf16.txt text working-tree-encoding=UTF-16\nignored.txt export-ignore\nsubst.txt export-subst\nlfs.bin filter=lfs diff=lfs merge=lfs -text\noldcrlf.txt crlf\nlf.txt text eol=lf\nautolf.txt text=auto\n'
blob run.bat 'echo 1\necho 2\n'; blob crlf.txt 'a\nb\n'; blob eolonly.txt 'a\nb\n'; blob notext.txt 'a\nb\n'; blob auto.txt 'a\nb\n'; blob autobin.dat 'a\n\0b\n'
blob automixed.txt 'a\r\nb\n'; blob textmixed.txt 'a\r\nb\n'; blob ident.txt '$Id$\nx\n'; blob utf16.txt 'hello\n'; blob ignored.txt 'i\n'; blob subst.txt '$Format:%%H$\n'
blob lfs.bin 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'; blob oldcrlf.txt 'a\nb\n'; blob lf.txt 'a\r\nb\r\n'; blob autolf.txt 'a\r\nb\r\n'
blob sub/.gitattributes '*.sub text eol=crlf\n'; blob sub/x.sub 'a\nb\n'; blob sub/y.go 'package sub\n'
link link.go a.go; link symmod/go.mod ../go.mod; blob symmod/z.go 'package symmod\n'
git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,submod
blob vendor/modules.txt '# x\n'; blob vendor/x/y.go 'package x\n'; blob vendor/top.go 'package vendor\n'; blob pkg/vendor/vendor.go 'package vendor\n'; blob pkg/vendor/foo/foo.go 'package foo\n'; blob vendorish/vendor/q.txt 'q\n'
blob nested/go.mod "module $P/nested\n"; blob nested/n.go 'package nested\n'; blob nested2/GO.MOD 'x\n'; blob nested2/n.go 'package nested2\n'
blob .hg_archival.txt 'h\n'; blob empty.txt ''; blob 'dir with space/ünï.txt' 'u\n'
blob licsub/go.mod "module $P/licsub\n"; blob licsub/l.go 'package licsub\n'
blob licown/go.mod "module $P/licown\n"; blob licown/LICENSE 'own\n'
blob licsym/go.mod "module $P/licsym\n"; link licsym/LICENSE ../LICENSE
blob licdir/go.mod "module $P/licdir\n"; blob licdir/LICENSE/x 'x\n'
blob v2/go.mod "module $P/v2\n"; blob v2/v.go 'package v2\n'
at 01; git commit -qm c1; for t in v1.0.0 licsub/v1.0.0 licown/v1.0.0 licsym/v1.0.0 licdir/v1.0.0 nested/v0.1.0 v2.0.0; do git tag $t; done
blob go.mod "module $P\n\ngo 1.24\n"; at 02; git commit -qm c2; git tag v1.1.0
blob aux.txt 'x\n'; at 03; git commit -qm 'bad windows name'; git tag v1.2.0; git rm -q --cached aux.txt
blob A.txt 'x\n'; blob a.txt 'y\n'; at 04; git commit -qm 'case collision'; git tag v1.3.0; git rm -q --cached A.txt a.txt
blob 'bad:name.txt' 'x\n'; at 05; git commit -qm 'bad char'; git tag v1.4.0; git rm -q --cached 'bad:name.txt'
blob "$(printf 'latin\351.txt')" 'x\n'; at 06; git commit -qm 'non-utf8 name'; git tag v1.5.0; git rm -q --cached "$(printf 'latin\351.txt')"
blob go.mod "module $P\n\ngo 1.24\n\nretract [v1.2.0, v1.5.0]\n"; at 07; git commit -qm 'retract'; git tag v1.6.0
blob b.go 'package a // b\n'; at 08; git commit -qm meta; git tag v1.7.0+meta
blob b.go 'package a // bb\n'; at 09; git commit -qm annotated; at 10; git tag -a -m 'annotated' v1.8.0; git tag v1.8; git tag v1.9.0-20240109000000-abcdefabcdef
blob b.go 'package a // pre\n'; at 11; git commit -qm pre; git tag v1.9.0-rc.1
git branch -q release-1.9
blob b.go 'package a // dev\n'; at 12; git commit -qm dev; 
git checkout -q --orphan three 2>/dev/null || true; git read-tree --empty; blob go.mod "module $P/v3\n"; blob t.go 'package three\n'; at 13; git commit -qm v3; git tag v3.0.0
git symbolic-ref HEAD refs/heads/main
git clone -q --mirror . ../torture.git
cd ..; git init -q -b main wt2; cd wt2; P=example.com/incompat.git
blob a.go 'package a\n'; blob LICENSE L; at 01; git commit -qm 1; git tag v1.0.0; git tag v2.0.0
blob a.go 'package a//2\n'; at 02; git commit -qm 2; git tag v2.1.0; git tag v4.0.0
blob go.mod "module $P/v5\n"; at 03; git commit -qm 5; git tag v5.0.0
git rm -q --cached go.mod; blob v6/go.mod "module $P/v6\n"; at 04; git commit -qm 6; git tag v6.0.0
blob c.go 'package a\n'; at 05; git commit -qm tip
git clone -q --mirror . ../incompat.git
