################################################################################
#
# lockgate
#
################################################################################

LOCKGATE_VERSION = 0.1.0
# Set this to where your copy is kept.
LOCKGATE_SITE = https://downloads.example.com/lockgate
LOCKGATE_LICENSE = MIT
LOCKGATE_LICENSE_FILES = LICENSE

LOCKGATE_FEATURES = \
	serve \
	$(if $(BR2_PACKAGE_LOCKGATE_ACME),acme) \
	$(if $(BR2_PACKAGE_LOCKGATE_CHECK),check)

LOCKGATE_CARGO_BUILD_OPTS = --bin lockgate --features "$(LOCKGATE_FEATURES)"
LOCKGATE_CARGO_INSTALL_OPTS = --features "$(LOCKGATE_FEATURES)"

# As Cargo.toml has it; Buildroot has others for every package, with which the
# program is larger.
LOCKGATE_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1"

define LOCKGATE_USERS
	lockgate -1 lockgate -1 * /var/lib/lockgate - - HTTPS of this device
endef

# The right to ports 443 and 80 is a part of the file, where the image's
# filesystem can hold it; systemd gives it itself.
define LOCKGATE_PERMISSIONS
	/var/lib/lockgate d 700 lockgate lockgate - - - - -
	/usr/bin/lockgate f 755 root root - - - - -
	$(if $(BR2_ROOTFS_DEVICE_TABLE_SUPPORTS_EXTENDED_ATTRIBUTES),\
		|xattr cap_net_bind_service+ep,)
endef

define LOCKGATE_INSTALL_CONFIG
	$(INSTALL) -D -m 0644 $(LOCKGATE_PKGDIR)/lockgate.toml \
		$(TARGET_DIR)/etc/lockgate.toml
	mkdir -p $(TARGET_DIR)/var/lib/lockgate
endef
LOCKGATE_POST_INSTALL_TARGET_HOOKS += LOCKGATE_INSTALL_CONFIG

define LOCKGATE_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(LOCKGATE_PKGDIR)/S60lockgate \
		$(TARGET_DIR)/etc/init.d/S60lockgate
endef

define LOCKGATE_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(LOCKGATE_PKGDIR)/lockgate.service \
		$(TARGET_DIR)/usr/lib/systemd/system/lockgate.service
endef

$(eval $(cargo-package))
