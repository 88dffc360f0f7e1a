# Proxy of the tunnel that is up, for login shells; see aovpn-env in aovpn(1). What a person has set stays.
if [ -r /run/aovpn/proxy.env ] && [ -z "${http_proxy:-}${https_proxy:-}" ]; then
  while IFS='=' read -r aovpn_name aovpn_value; do
    case "$aovpn_name" in
      *[!A-Za-z_]* | '') ;;
      *) export "$aovpn_name=$aovpn_value" ;;
    esac
  done </run/aovpn/proxy.env
  unset aovpn_name aovpn_value
fi
