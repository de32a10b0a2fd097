include $(sort $(wildcard $(BR2_EXTERNAL_LOCKGATE_PATH)/package/*/*.mk))
