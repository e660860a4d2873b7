/* An auditor (rtld-audit(7)) that listens to nothing. */
unsigned la_version(unsigned version);
unsigned la_version(unsigned version) { return version; }
